// How many points a frame may have while the map moves: halved when a frame takes too long, doubled when there
// is room, so that moving stays smooth on any machine.

const FRAME_MS = 30;
const LEAST = 20_000;

export class Pace {
  private most: number;
  private last = 0;

  constructor(private readonly count: number) {
    this.most = Math.min(count, 50_000);
  }

  /** Points to draw in the next frame of a movement. */
  get points(): number {
    return this.most;
  }

  /** Take note that a frame of a movement began now (milliseconds). After a pause it begins anew. */
  frame(now: number): void {
    const took = now - this.last;
    this.last = now;
    if (took > 500) return;
    if (took > FRAME_MS * 1.25) this.most = Math.max(Math.min(LEAST, this.count), Math.floor(this.most / 2));
    else if (took < FRAME_MS * 0.6) this.most = Math.min(this.count, this.most * 2);
  }
}
