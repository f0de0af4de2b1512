
// Numbers as people read them. Sizes are written as in the text report.

const UNITS = ["KiB", "MiB", "GiB", "TiB"];
const MINUS = "−";

function unsignedSize(bytes) {
  if (bytes < 10240) {
    return `${Math.round(bytes)} B`;
  }
  let number = bytes;
  let unit = -1;
  while (unit < 0 || (number >= 10240 && unit < UNITS.length - 1)) {
    number /= 1024;
    unit += 1;
  }
  return `${number.toFixed(number < 100 ? 1 : 0)} ${UNITS[unit]}`;
}

const unsignedCount = (count) => Math.round(count).toLocaleString("en-US");

// An amount of a metric.
function amount(metric, number) {
  return metric === BYTES ? unsignedSize(number) : unsignedCount(number);
}

// An amount with its noun, for sentences.
function spoken(metric, number) {
  if (metric === BYTES) {
    return unsignedSize(number);
  }
  return `${unsignedCount(number)} ${Math.round(number) === 1 ? "block" : "blocks"}`;
}

// A difference with its sign.
function signed(metric, number) {
  return (number < 0 ? MINUS : "+") + amount(metric, Math.abs(number));
}

function percent(part, whole) {
  if (whole === 0) {
    return "–";
  }
  const share = (100 * part) / whole;
  return share > 0 && share < 0.05 ? "<0.1%" : `${share.toFixed(1)}%`;
}

// Name of a class of block sizes; class n holds 2^(n-1) to 2^n - 1 bytes.
function className(size) {
  if (size < 2) {
    return `${size} B`;
  }
  if (size <= 10) {
    return `${2 ** (size - 1)}–${2 ** size - 1} B`;
  }
  const [from, unit] = binary(size - 1);
  const [to, upper] = binary(size);
  return unit === upper ? `${from}–${to} ${unit}` : `${from} ${unit}–${to} ${upper}`;
}

// 2^exponent in its unit.
function binary(exponent) {
  const unit = Math.min(Math.floor(exponent / 10), UNITS.length);
  return [2 ** (exponent - 10 * unit), unit === 0 ? "B" : UNITS[unit - 1]];
}

// Shorter and shorter forms of a function's name, for little room: whole, without the arguments of
// generics, its last two parts.
function shortForms(name) {
  let plain = name;
  for (let round = 0; round < 20; round += 1) {
    const less = plain.replace(/(::|[\w}])<[^<>]*>/g, (_, before) => (before === "::" ? "" : before));
    if (less === plain) {
      break;
    }
    plain = less;
  }
  const parts = plain.split("::");
  const last = parts[parts.length - 1];
  const isClosure = last.startsWith("{");
  return [name, plain, parts.slice(-2).join("::"), isClosure ? parts.slice(-2).join("::") : last];
}
