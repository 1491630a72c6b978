// Where the map is looked at from: coordinates of a map are in 0..1 with y upwards, the screen's in CSS pixels.

/** `x`, `y`: the place of the map in the middle of the screen; `scale`: pixels for a length of 1. */
export interface View {
  x: number;
  y: number;
  scale: number;
}

export interface Size {
  width: number;
  height: number;
}

const CLOSEST = 400; // times the size of the whole map
const MARGIN = 0.8; // leaves the tools at the lower edge free

/** Return the view that shows the whole map. */
export function fit(size: Size): View {
  return { x: 0.5, y: 0.5, scale: Math.max(1, Math.min(size.width, size.height) * MARGIN) };
}

export function toScreen(view: View, size: Size, x: number, y: number): [number, number] {
  return [size.width / 2 + (x - view.x) * view.scale, size.height / 2 - (y - view.y) * view.scale];
}

export function toMap(view: View, size: Size, left: number, top: number): [number, number] {
  return [view.x + (left - size.width / 2) / view.scale, view.y - (top - size.height / 2) / view.scale];
}

export function pan(view: View, right: number, down: number): View {
  return { ...view, x: view.x - right / view.scale, y: view.y + down / view.scale };
}

/** Enlarge by a factor; what lies under a place of the screen stays there. */
export function zoom(view: View, size: Size, factor: number, left: number, top: number): View {
  const least = fit(size).scale / 2;
  const scale = Math.min(fit(size).scale * CLOSEST, Math.max(least, view.scale * factor));
  const [x, y] = toMap(view, size, left, top);
  return { x: x - (left - size.width / 2) / scale, y: y + (top - size.height / 2) / scale, scale };
}

/** A view as an address holds it, and back. */
export function viewText(view: View, size: Size): string {
  return [view.x.toFixed(4), view.y.toFixed(4), (view.scale / fit(size).scale).toFixed(2)].join(",");
}

export function viewOf(text: string | null, size: Size): View {
  const [x, y, times] = (text ?? "").split(",").map(Number);
  if (text === null || ![x, y, times].every(Number.isFinite)) return fit(size);
  return { x: x!, y: y!, scale: fit(size).scale * times! };
}
