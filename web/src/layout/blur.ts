// The blurred picture in a payload's `blur`: 20 bytes in base64, drawn until the picture itself has come. The
// format is in docs/http-api.md.

export const BLUR_SIDE = 16;
const HIGHEST = [5, 2, 2] as const; // the finest waves of brightness, and of the two colour differences

/** Return the pixels of a square of `BLUR_SIDE`: red, green, blue, opacity of each. */
export function blurPixels(blur: string): Uint8ClampedArray<ArrayBuffer> {
  const bytes = Uint8Array.from(atob(blur), (letter) => letter.charCodeAt(0));
  const step = (k: number) => ((k % 2 === 0 ? bytes[5 + (k >> 1)]! >> 4 : bytes[5 + (k >> 1)]! & 15) - 7) / 7;
  const means = [bytes[0]! / 255, (bytes[1]! - 128) / 127, (bytes[2]! - 128) / 127];
  const scales = [bytes[3]! / 255, (bytes[4]! >> 4) ** 2 / 225, (bytes[4]! & 15) ** 2 / 225];
  const planes = means.map((mean) => new Float32Array(BLUR_SIDE * BLUR_SIDE).fill(mean));
  let k = 0;
  HIGHEST.forEach((highest, channel) => {
    for (let total = 1; total <= highest; total += 1) {
      for (let u = 0; u <= total; u += 1) {
        add(planes[channel]!, step(k) * scales[channel]!, WAVES[u]!, WAVES[total - u]!);
        k += 1;
      }
    }
  });
  const pixels = new Uint8ClampedArray(BLUR_SIDE * BLUR_SIDE * 4);
  const [light, tint, warmth] = planes as [Float32Array, Float32Array, Float32Array];
  for (let at = 0; at < light.length; at += 1) {
    const rest = light[at]! - warmth[at]! / 2;
    const blue = rest - tint[at]! / 2;
    pixels.set([(blue + tint[at]!) * 255, (light[at]! + warmth[at]! / 2) * 255, blue * 255, 255], at * 4);
  }
  return pixels;
}

const WAVES = Array.from({ length: HIGHEST[0] + 1 }, (_, u) => Float32Array.from({ length: BLUR_SIDE }, (_, at) => Math.cos((Math.PI * u * (at + 0.5)) / BLUR_SIDE)));

function add(plane: Float32Array, scale: number, across: Float32Array, down: Float32Array): void {
  if (scale === 0) return;
  for (let y = 0; y < BLUR_SIDE; y += 1) {
    for (let x = 0; x < BLUR_SIDE; x += 1) plane[y * BLUR_SIDE + x]! += scale * across[x]! * down[y]!;
  }
}
