// Loads pictures a few at a time, in the order in which they are wanted: so those in view come first, and a connection
// is free for what is asked next.

// A browser opens six connections to a server. Two are left for questions, but for who scrolls fast.
const AT_ONCE = 4;
const MOST_AT_ONCE = 8;

interface State {
  address: string;
  step: "wanted" | "loading" | "there" | "failed";
}

export class PictureQueue {
  private readonly states = new Map<HTMLImageElement, State>();
  private waiting: Iterator<HTMLImageElement> = [][Symbol.iterator]();
  private loading = 0;
  /** While set, what is under way still comes, and nothing else is begun. */
  paused = false;
  /** While set, pictures are all that is asked for. */
  hurried = false;

  /** `came`: called after a picture has come, or has failed to. */
  constructor(private readonly came: () => void) {}

  /** Take care of an image; once, when it is made. */
  follow(image: HTMLImageElement): void {
    image.addEventListener("load", () => this.end(image, "there"));
    image.addEventListener("error", () => this.end(image, "failed"));
  }

  /** An image shall have the picture of this address, when its turn comes. */
  want(image: HTMLImageElement, address: string): void {
    this.states.set(image, { address, step: "wanted" });
  }

  /** Load these from now on, in this order. */
  load(images: Iterable<HTMLImageElement>): void {
    this.waiting = images[Symbol.iterator]();
    this.next();
  }

  /** An image is not shown any more; also ends a request that is under way. */
  drop(image: HTMLImageElement): void {
    if (this.states.get(image)?.step === "loading") this.loading -= 1;
    this.states.delete(image);
    image.style.opacity = "0";
    image.removeAttribute("src");
  }

  /** Ask for nothing more: the images are gone. */
  stop(): void {
    this.waiting = [][Symbol.iterator]();
    for (const image of [...this.states.keys()]) this.drop(image);
  }

  /** The address of an image's picture; empty where it has none. */
  of(image: HTMLImageElement): string {
    return this.states.get(image)?.address ?? "";
  }

  isComing(image: HTMLImageElement): boolean {
    const step = this.states.get(image)?.step;
    return step === "wanted" || step === "loading";
  }

  /** Begin with as many as there is room for. */
  next(): void {
    while (!this.paused && this.loading < (this.hurried ? MOST_AT_ONCE : AT_ONCE)) {
      const { value: image, done } = this.waiting.next();
      if (done) return;
      const state = this.states.get(image);
      if (state?.step !== "wanted") continue;
      state.step = "loading";
      this.loading += 1;
      image.src = state.address;
      if (image.complete && image.naturalWidth > 0) this.settle(image, state, "there"); // the browser has kept it
    }
  }

  private end(image: HTMLImageElement, step: "there" | "failed"): void {
    const state = this.states.get(image);
    if (state?.step !== "loading") return; // of a picture that was wanted before
    this.settle(image, state, step);
    this.next();
    this.came();
  }

  private settle(image: HTMLImageElement, state: State, step: "there" | "failed"): void {
    this.loading -= 1;
    state.step = step;
    if (step === "there") image.style.opacity = "1";
  }
}
