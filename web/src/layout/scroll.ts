// The scroll of a layout that may be higher than a browser lets a box be (16.7 million pixels).

/** A box no browser cuts off. */
export const HIGHEST = 8_000_000;

/**
 * Maps the scroll of a box to the height of the layout. Up to HIGHEST they are the same. Above, small steps of
 * the scroll move the layout by as much, jumps (the scroll bar, a key) by their share of the whole; at rest the
 * scroll is put where its share is, so that both ends are reached together.
 */
export class ScrollMap {
  private offset = 0;
  private last = 0;

  constructor(
    readonly height: number,
    readonly view: number,
  ) {}

  get boxHeight(): number {
    return Math.min(this.height, HIGHEST);
  }

  get isMapped(): boolean {
    return this.height > HIGHEST;
  }

  /** Return how far down the layout the view begins, for a scroll of the box; `jump`: not by small steps. */
  moved(scroll: number): number {
    if (!this.isMapped) return scroll;
    const end = this.boxHeight - this.view;
    if (scroll <= 0 || scroll >= end || Math.abs(scroll - this.last) > this.view) {
      this.offset = this.shareOf(scroll) - scroll;
    }
    this.last = scroll;
    const y = Math.min(this.height - this.view, Math.max(0, scroll + this.offset));
    this.offset = y - scroll;
    return y;
  }

  /** Return the scroll at which the layout stays where it is and both ends are as far as they look. */
  settled(y: number): number {
    if (!this.isMapped) return y;
    const scroll = Math.round((y / (this.height - this.view)) * (this.boxHeight - this.view));
    this.offset = y - scroll;
    this.last = scroll;
    return scroll;
  }

  /** Return where a place of the layout lies in the box now. */
  inBox(top: number): number {
    return top - this.offset;
  }

  private shareOf(scroll: number): number {
    return (scroll / Math.max(1, this.boxHeight - this.view)) * (this.height - this.view);
  }
}
