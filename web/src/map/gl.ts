// Draws the points of a map by WebGL2: one buffer of places, one of colours, and a uniform for the view.
import type { Size, View } from "./view";

const VERTEX = `#version 300 es
in vec2 place;
in uint code;
in uint state;
uniform vec2 centre;
uniform vec2 factor;
uniform float size;
uniform vec3 palette[64];
uniform float alpha;
out vec4 tint;
void main() {
  bool shown = place.x == place.x;
  gl_Position = shown ? vec4((place - centre) * factor, 0.0, 1.0) : vec4(2.0, 2.0, 0.0, 1.0);
  bool dimmed = (state & 1u) != 0u;
  bool chosen = (state & 2u) != 0u;
  gl_PointSize = chosen ? size * 1.45 : size;
  tint = vec4(palette[code], dimmed ? alpha * 0.12 : chosen ? 1.0 : alpha);
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 tint;
uniform float soft;
out vec4 colour;
void main() {
  float off = length(gl_PointCoord - 0.5) * 2.0;
  float cover = soft > 0.5 ? (1.0 - off) * (1.0 - off) : 1.0 - smoothstep(0.75, 1.0, off);
  if (off > 1.0) discard;
  colour = vec4(tint.rgb * tint.a * cover, tint.a * cover);
}`;

/** Colours of a palette, at most. */
export const COLOURS = 64;
export const DIMMED = 1;
export const CHOSEN = 2;
const GLOWING = 20_000; // points that get a glow: each costs as much as 36 without

/**
 * The points, in an order of its own that is shuffled once, so that the first n of them are a fair picture of
 * all. `codes` are places in the palette; `states` are DIMMED and CHOSEN, or both.
 */
export class PointCloud {
  private readonly gl: WebGL2RenderingContext;
  private readonly program: WebGLProgram;
  private readonly buffers: { place: WebGLBuffer; code: WebGLBuffer; state: WebGLBuffer };
  /** Where a picture is drawn in parts; as large as the canvas. */
  private readonly sheet: { frame: WebGLFramebuffer; colours: WebGLRenderbuffer; width: number; height: number };
  readonly order: Uint32Array;
  readonly count: number;

  /** Throws where the browser has no WebGL2. */
  constructor(canvas: HTMLCanvasElement, x: Float32Array, y: Float32Array) {
    const options = { antialias: false, alpha: true, premultipliedAlpha: true, preserveDrawingBuffer: true };
    const gl = canvas.getContext("webgl2", options) as WebGL2RenderingContext | null;
    if (gl === null) throw new Error("This browser has no WebGL2, which the map is drawn with.");
    this.gl = gl;
    this.count = x.length;
    this.order = shuffled(x.length);
    this.program = linked(gl);
    this.buffers = { place: gl.createBuffer()!, code: gl.createBuffer()!, state: gl.createBuffer()! };
    this.sheet = { frame: gl.createFramebuffer()!, colours: gl.createRenderbuffer()!, width: 0, height: 0 };
    const places = new Float32Array(x.length * 2);
    for (let at = 0; at < x.length; at += 1) {
      places[at * 2] = x[this.order[at]!]!;
      places[at * 2 + 1] = y[this.order[at]!]!;
    }
    gl.useProgram(this.program);
    this.attribute("place", this.buffers.place, places, 2);
    this.attribute("code", this.buffers.code, new Uint8Array(x.length), 1);
    this.attribute("state", this.buffers.state, new Uint8Array(x.length), 1);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  /** Give each point its colour. */
  setCodes(codes: Uint8Array): void {
    this.fill(this.buffers.code, codes);
  }

  /** Say which points are dimmed and chosen. */
  setStates(states: Uint8Array): void {
    this.fill(this.buffers.state, states);
  }

  /** The colours that codes stand for: red, green, blue in 0..1, one after the other. */
  setPalette(colours: Float32Array): void {
    const all = new Float32Array(COLOURS * 3);
    all.set(colours.subarray(0, all.length));
    this.gl.uniform3fv(this.gl.getUniformLocation(this.program, "palette"), all);
  }

  /** Draw the first `most` points, without what glows. */
  draw(view: View, size: Size, most: number): void {
    this.gl.bindFramebuffer(this.gl.FRAMEBUFFER, null);
    this.begin(view, size);
    this.pass(this.pointSize(view, size), this.alpha, false, 0, Math.min(most, this.count));
  }

  /** Draw the points from `from` on, `most` of them, over those before them, which are drawn already; from 0 on, a
   * new picture. Nothing of it is on the screen until `show`. `glow`: soft light behind all of them. */
  drawPart(view: View, size: Size, from: number, most: number, glow: boolean): void {
    const { gl, sheet } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, sheet.frame);
    if (from === 0) {
      const [width, height] = [gl.drawingBufferWidth, gl.drawingBufferHeight];
      if (sheet.width !== width || sheet.height !== height) {
        gl.bindRenderbuffer(gl.RENDERBUFFER, sheet.colours);
        gl.renderbufferStorage(gl.RENDERBUFFER, gl.RGBA8, width, height);
        gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.RENDERBUFFER, sheet.colours);
        Object.assign(sheet, { width, height });
      }
      this.begin(view, size);
    }
    const point = this.pointSize(view, size);
    if (glow && from === 0) this.pass(point * 6, 0.045, true, 0, Math.min(GLOWING, this.count));
    this.pass(point, this.alpha, false, from, Math.min(most, this.count - from));
  }

  /** Put what was drawn in parts on the screen. */
  show(): void {
    const { gl, sheet } = this;
    const { width, height } = sheet;
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, sheet.frame);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, null);
    gl.blitFramebuffer(0, 0, width, height, 0, 0, width, height, gl.COLOR_BUFFER_BIT, gl.NEAREST);
  }

  /** Wait until the drawing is done: only for measuring how long a frame takes. */
  finish(): void {
    this.gl.readPixels(0, 0, 1, 1, this.gl.RGBA, this.gl.UNSIGNED_BYTE, new Uint8Array(4));
  }

  stop(): void {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  private begin(view: View, size: Size): void {
    const { gl } = this;
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(this.place("centre"), view.x, view.y);
    gl.uniform2f(this.place("factor"), (2 * view.scale) / size.width, (2 * view.scale) / size.height);
  }

  private get alpha(): number {
    return this.count > 100_000 ? 0.55 : 0.82;
  }

  /** The diameter of a point in pixels of the canvas. */
  private pointSize(view: View, size: Size): number {
    const ratio = this.gl.drawingBufferWidth / size.width;
    return pointSize(this.count, view.scale / Math.min(size.width, size.height)) * ratio;
  }

  private pass(size: number, alpha: number, soft: boolean, from: number, count: number): void {
    this.gl.uniform1f(this.place("soft"), soft ? 1 : 0);
    this.gl.uniform1f(this.place("size"), size);
    this.gl.uniform1f(this.place("alpha"), alpha);
    this.gl.drawArrays(this.gl.POINTS, from, count);
  }

  private place(name: string): WebGLUniformLocation | null {
    return this.gl.getUniformLocation(this.program, name);
  }

  private attribute(name: string, buffer: WebGLBuffer, data: Float32Array | Uint8Array, size: number): void {
    const { gl } = this;
    const place = gl.getAttribLocation(this.program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(place);
    if (data instanceof Float32Array) gl.vertexAttribPointer(place, size, gl.FLOAT, false, 0, 0);
    else gl.vertexAttribIPointer(place, size, gl.UNSIGNED_BYTE, 0, 0);
  }

  private fill(buffer: WebGLBuffer, values: Uint8Array): void {
    const ordered = new Uint8Array(this.count);
    for (let at = 0; at < this.count; at += 1) ordered[at] = values[this.order[at]!]!;
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, buffer);
    this.gl.bufferSubData(this.gl.ARRAY_BUFFER, 0, ordered);
  }
}

/** The diameter of a point in CSS pixels: smaller the more there are, larger the closer one looks. */
function pointSize(count: number, closeness: number): number {
  const base = count <= 5_000 ? 4.4 : count <= 50_000 ? 3.2 : count <= 300_000 ? 2.2 : 1.6;
  return Math.min(11, base * Math.max(1, closeness) ** 0.35);
}

function linked(gl: WebGL2RenderingContext): WebGLProgram {
  const made = gl.createProgram()!;
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) {
    throw new Error(`The map cannot be drawn: ${gl.getProgramInfoLog(made)}`);
  }
  return made;
}

/** Return 0 to count - 1 in an order that is always the same, and fair at every length. */
export function shuffled(count: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, at) => at);
  let state = 2463534242;
  for (let at = count - 1; at > 0; at -= 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const other = (state >>> 0) % (at + 1);
    const kept = order[at]!;
    order[at] = order[other]!;
    order[other] = kept;
  }
  return order;
}
