/** One line of the Prometheus text format. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^(?<name>[a-zA-Z_:][\w:]*)(?:\{(?<labels>.*)\})? (?<value>\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** The samples of the metric `name`, in the order of the text. */
export function samples(text: string, name: string): Sample[] {
  return text.split("\n").flatMap((line) => {
    const groups = LINE.exec(line)?.groups;
    if (groups?.["name"] !== name) return [];
    const pairs = [...(groups["labels"] ?? "").matchAll(LABEL)];
    const labels = Object.fromEntries(pairs.map(([, key = "", value = ""]) => [key, value]));
    return [{ labels, value: Number(groups["value"]) }];
  });
}
