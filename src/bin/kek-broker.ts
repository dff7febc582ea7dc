#!/usr/bin/env node
import { main } from "../runtime/main.ts";
import { packageVersion } from "./version.ts";

await main(process.argv, packageVersion());
