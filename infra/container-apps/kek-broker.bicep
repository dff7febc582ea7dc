// The broker on Azure Container Apps: docs/deploy-container-apps.md.
targetScope = 'resourceGroup'

@description('The image, by digest.')
param image string

@description('The configuration, YAML, as docs/deploy-container-apps.md has it.')
@secure()
param config string

@description('An existing vault of this resource group, with role-based access control.')
param vaultName string

@description('The key in it that the broker may use, and no other.')
param keyName string

param location string = resourceGroup().location

// Key Vault Crypto Service Encryption User: read a key, wrap and unwrap with it.
var encryptionUser = 'e147488a-f6f5-4113-8e2d-b22465e65bf6'

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'kek-broker'
  location: location
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: vaultName

  resource key 'keys' existing = {
    name: keyName
  }
}

resource mayUseKey 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault::key.id, identity.id, encryptionUser)
  scope: vault::key
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', encryptionUser)
  }
}

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: 'kek-broker'
  location: location
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: 365
  }
}

resource environment 'Microsoft.App/managedEnvironments@2024-03-01' = {
  name: 'kek-broker'
  location: location
  properties: {
    appLogsConfiguration: {
      destination: 'log-analytics'
      logAnalyticsConfiguration: {
        customerId: logs.properties.customerId
        sharedKey: logs.listKeys().primarySharedKey
      }
    }
  }
}

resource broker 'Microsoft.App/containerApps@2024-03-01' = {
  name: 'kek-broker'
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    environmentId: environment.id
    configuration: {
      // Callers show the broker a token of their own. TLS ends at the ingress, and plain HTTP is not redirected but refused.
      ingress: {
        external: true
        targetPort: 8080
        transport: 'http'
        allowInsecure: false
      }
      secrets: [{ name: 'config', value: config }]
    }
    template: {
      containers: [
        {
          name: 'kek-broker'
          image: image
          resources: { cpu: json('0.5'), memory: '1Gi' }
          // Which of its identities the Azure SDK is to be.
          env: [{ name: 'AZURE_CLIENT_ID', value: identity.properties.clientId }]
          probes: [
            { type: 'Startup', httpGet: { path: '/livez', port: 8080 }, periodSeconds: 1, failureThreshold: 30 }
            { type: 'Liveness', httpGet: { path: '/livez', port: 8080 }, periodSeconds: 10 }
          ]
          volumeMounts: [{ volumeName: 'config', mountPath: '/etc/kek-broker' }]
        }
      ]
      // One that is always up: an apiserver that starts should not wait for a cold start.
      scale: { minReplicas: 1, maxReplicas: 10 }
      volumes: [
        {
          name: 'config'
          storageType: 'Secret'
          secrets: [{ secretRef: 'config', path: 'broker.yaml' }]
        }
      ]
    }
  }
}

output url string = 'https://${broker.properties.configuration.ingress.fqdn}'
