import { describeBroker } from "../../conformance/http/suite.ts";
import { useSandbox } from "../../kubernetes/sandbox.ts";
import { startLambdaBroker } from "./lambda-broker.ts";

const sandbox = useSandbox();

describeBroker("Lambda, on AWS's runtime and emulator", ({ config }) => startLambdaBroker(sandbox, config));
