#!/usr/bin/env node
import { loadSparingly } from "../shim/sparingly.ts";
import { packageVersion } from "./version.ts";

const { main } = await loadSparingly(() => import("../shim/main.ts"));
await main(process.argv, packageVersion());
