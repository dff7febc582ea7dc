/** Each installs what is not in the cache yet, and throws an error that names what is missing. Paths are absolute. */

interface PythonTool {
  readonly python: string;
  /** The folder of its programs: `moto_server`, `schemathesis`, `drongo`. */
  readonly bin: string;
}

export function installMoto(): PythonTool;
export function installSchemathesis(): PythonTool;
export function installDrongo(): PythonTool;
export function installLocalKms(): { readonly program: string };
export function installLambdaEmulator(): { readonly program: string };
/** The script takes its handler and folder from the environment, as AWS's runtime does. */
export function installLambdaRuntime(): { readonly script: string };
export function installHadolint(): { readonly program: string };
