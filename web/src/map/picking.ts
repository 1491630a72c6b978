// Finds the point next to a place: the map is cut into cells, each with the points in it.

export class Cells {
  private readonly side: number;
  private readonly starts: Uint32Array;
  private readonly rows: Uint32Array;

  /** Points without a place (NaN) are in no cell. */
  constructor(
    private readonly x: Float32Array,
    private readonly y: Float32Array,
  ) {
    this.side = Math.max(1, Math.min(1024, Math.round(Math.sqrt(x.length / 4))));
    this.starts = new Uint32Array(this.side * this.side + 1);
    for (let row = 0; row < x.length; row += 1) {
      const cell = this.cellOf(row);
      if (cell >= 0) this.starts[cell + 1]! += 1;
    }
    for (let cell = 0; cell < this.side * this.side; cell += 1) this.starts[cell + 1]! += this.starts[cell]!;
    this.rows = new Uint32Array(this.starts[this.side * this.side]!);
    const next = this.starts.slice();
    for (let row = 0; row < x.length; row += 1) {
      const cell = this.cellOf(row);
      if (cell >= 0) this.rows[next[cell]!++] = row;
    }
  }

  /** Return the nearest point within `radius` of a place that is `wanted`; -1 if there is none. */
  nearest(x: number, y: number, radius: number, wanted: (row: number) => boolean = () => true): number {
    let best = -1;
    let least = radius * radius;
    this.within(x - radius, y - radius, x + radius, y + radius, (row) => {
      const off = (this.x[row]! - x) ** 2 + (this.y[row]! - y) ** 2;
      if (off <= least && wanted(row)) {
        least = off;
        best = row;
      }
    });
    return best;
  }

  /** Call `see` for every point of the cells that a rectangle touches, so also for some next to it. */
  within(left: number, bottom: number, right: number, top: number, see: (row: number) => void): void {
    const [fromX, toX] = [this.clamped(left), this.clamped(right)];
    const [fromY, toY] = [this.clamped(bottom), this.clamped(top)];
    for (let cellY = fromY; cellY <= toY; cellY += 1) {
      for (let cellX = fromX; cellX <= toX; cellX += 1) {
        const cell = cellY * this.side + cellX;
        for (let at = this.starts[cell]!; at < this.starts[cell + 1]!; at += 1) see(this.rows[at]!);
      }
    }
  }

  private cellOf(row: number): number {
    const [x, y] = [this.x[row]!, this.y[row]!];
    return Number.isNaN(x) || Number.isNaN(y) ? -1 : this.clamped(y) * this.side + this.clamped(x);
  }

  private clamped(value: number): number {
    return Math.min(this.side - 1, Math.max(0, Math.floor(value * this.side)));
  }
}
