#!/usr/bin/env node
import { main } from "../runtime/main.ts";

await main(process.argv);
