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
