#!/usr/bin/env node
import { main } from "../shim/main.ts";

await main(process.argv);
