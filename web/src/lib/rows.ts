/** Rows of pictures that fill the width, each as high as its pictures need, with a heading where a group begins. */
export interface Row {
  top: number;
  height: number;
  /** Place of its first picture, and of the first of the next row; equal in a heading. */
  from: number;
  to: number;
  widths: number[];
}

/** `groups`: the places of the pictures that begin one with a heading; `heading`: its height. */
export function justify(
  ratios: number[],
  width: number,
  wanted: number,
  gap: number,
  groups: number[] = [],
  heading = 0,
): Row[] {
  const rows: Row[] = [];
  let top = 0;
  let from = 0;
  let sum = 0;
  let group = 0;
  for (let at = 0; at < ratios.length; at++) {
    if (groups[group] === at) {
      rows.push({ top, height: heading, from: at, to: at, widths: [] });
      top += heading;
      group++;
    }
    sum += ratios[at]!;
    const free = width - gap * (at - from);
    const isLast = at === ratios.length - 1 || groups[group] === at + 1;
    if (sum * wanted < free && !isLast) continue;
    const height = Math.round(Math.min(free / sum, isLast ? wanted : Infinity));
    const widths = ratios.slice(from, at + 1).map((ratio) => Math.floor(ratio * (isLast ? height : free / sum)));
    rows.push({ top, height, from, to: at + 1, widths });
    top += height + gap;
    from = at + 1;
    sum = 0;
  }
  return rows;
}

/** The rows between two heights. */
export function between(rows: Row[], upper: number, lower: number): Row[] {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const row = rows[middle]!;
    if (row.top + row.height < upper) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < rows.length && rows[end]!.top < lower) end++;
  return rows.slice(low, end);
}
