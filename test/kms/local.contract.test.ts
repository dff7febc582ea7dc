import { randomBytes } from "node:crypto";

import { createLocalProvider, type LocalProviderOptions } from "../../src/kms/local.ts";
import { describeProviderContract } from "../emulators/provider-contract.ts";

let made = 0;
const newVersion = () => ({ version: `v${++made}`, key: randomBytes(32).toString("base64") });

describeProviderContract<LocalProviderOptions>("local", {
  async newKey() {
    const key = newVersion();
    return { keys: [key], primary: key.version };
  },
  open: (options) => createLocalProvider(options),
  async rotate({ keys }) {
    const key = newVersion();
    return { keys: [...keys, key], primary: key.version };
  },
});
