import { startNodeBroker } from "./http/node.ts";
import { describeBroker } from "./http/suite.ts";
import { startWorkerdBroker } from "./http/workerd.ts";

describeBroker("Node", ({ config }) => startNodeBroker(config));
describeBroker("workerd", ({ config }) => startWorkerdBroker(config));
