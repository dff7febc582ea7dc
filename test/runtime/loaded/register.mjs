// For `node --import`: writes the URL of every module that is loaded into the file LOADED_MODULES, a line each.
import { register } from "node:module";

register("./hooks.mjs", import.meta.url);
