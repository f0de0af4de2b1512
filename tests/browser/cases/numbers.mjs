// Numbers as the page writes them, worked out anew.

// A size as the page writes it.
export function size(bytes) {
  let number = bytes;
  let unit = 0;
  while (number >= 10240 && unit < 4) {
    number /= 1024;
    unit += 1;
  }
  const digits = unit > 0 && number < 100 ? 1 : 0;
  return `${number.toFixed(digits)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

export const count = (number) => number.toLocaleString("en-US");
export const signed = (number, text) => (number < 0 ? "−" : "+") + text(Math.abs(number));
