import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import * as z from "zod";

import { parseShimConfig, socketPathOf } from "../../src/shim/config.ts";
import { blocksOf, filesIn, textOf } from "./pages.ts";

const units = ["infra/kubernetes/systemd/kek-shim.service", "infra/broker/kek-broker.service"];
const SOCKET_FOLDER = "/run/kek";

const Named = z.object({ name: z.string() });
const Mount = Named.extend({ mountPath: z.string() });
const Pod = z.object({
  spec: z.object({
    securityContext: z.object({ runAsUser: z.int(), runAsGroup: z.int(), runAsNonRoot: z.literal(true) }),
    containers: z.array(z.object({ args: z.array(z.string()), volumeMounts: z.array(Mount) })).length(1),
    volumes: z.array(Named.extend({ hostPath: z.object({ path: z.string(), type: z.string() }) })),
  }),
});
const pod = Pod.parse(parse(textOf("infra/kubernetes/static-pod/kek-shim.yaml")));
const container = pod.spec.containers[0];

describe("every file of infra in YAML", () => {
  it.each(filesIn("infra", ".yaml"))("%s is one object of Kubernetes' kind", (path) => {
    const Object = z.looseObject({ apiVersion: z.string(), kind: z.string() });
    expect(Object.safeParse(parse(textOf(path))).success).toBe(true);
  });
});

describe.each(units)("%s", (path) => {
  it.each([
    "LimitCORE=0",
    "MemorySwapMax=0",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "UMask=0077",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
  ])("has %s", (line) => {
    expect(textOf(path).split("\n")).toContain(line);
  });

  it("lets V8 make machine code", () => {
    expect(textOf(path)).not.toMatch(/^MemoryDenyWriteExecute=/m);
  });
});

describe("the shim's socket", () => {
  const shim = parseShimConfig(
    blocksOf(textOf("docs/operator.md")).find(({ text }) => text.startsWith("# shim"))?.text ?? "",
  );

  it("is where the operator's page, the EncryptionConfigurations and the kubelet's mounts say", () => {
    expect(socketPathOf(shim.listen)).toBe(`${SOCKET_FOLDER}/kms.sock`);
    for (const name of ["encryption-config", "encryption-config-first"]) {
      expect(textOf(`infra/kubernetes/${name}.yaml`)).toContain(`endpoint: ${shim.listen}\n`);
    }
    expect(textOf("infra/kubernetes/static-pod/kubeadm-config.yaml")).toContain(
      `hostPath: ${SOCKET_FOLDER}\n`,
    );
    expect(pod.spec.volumes.map(({ hostPath }) => hostPath.path)).toContain(SOCKET_FOLDER);
  });

  it("is in a folder that outlives the unit's restarts, for a container that has it mounted", () => {
    const lines = textOf("infra/kubernetes/systemd/kek-shim.service").split("\n");
    expect(lines).toEqual(
      expect.arrayContaining([
        "RuntimeDirectory=kek",
        "RuntimeDirectoryMode=0700",
        "RuntimeDirectoryPreserve=yes",
      ]),
    );
  });

  it("is in a folder of the static pod's own user", () => {
    const { runAsUser, runAsGroup } = pod.spec.securityContext;
    expect(textOf("infra/kubernetes/static-pod/kek.tmpfiles.conf")).toContain(
      `\nd ${SOCKET_FOLDER} 0700 ${runAsUser} ${runAsGroup} -\n`,
    );
  });

  it("has a shim whose files are mounted where its configuration names them", () => {
    const mounts = container?.volumeMounts.map(({ mountPath }) => mountPath) ?? [];
    const named = [shim.identity.nodeKey, shim.ca, socketPathOf(shim.listen), ...(container?.args ?? [])];
    const outside = named.filter(
      (path) => path?.startsWith("/") === true && !mounts.some((mount) => path.startsWith(`${mount}/`)),
    );
    expect(outside).toEqual([]);
  });
});
