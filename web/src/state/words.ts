// How numbers, sizes and dates are written.
const COUNT = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { useGrouping: "min2" });

export function count(value: number): string {
  return COUNT.format(value);
}

/** `1 image`, `12,400 images`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${value >= 100 || at === 0 ? Math.round(value) : value.toPrecision(2)} ${units[at]}`;
}

/** A number as short as it can be read: `0.32`, `2015` (which may be a year), `12,400`, `3.5`. */
export function short(value: number): string {
  if (Math.abs(value) >= 100 || Number.isInteger(value)) return SHORT.format(Math.round(value));
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
