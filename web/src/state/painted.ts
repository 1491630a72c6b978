// Whose first pictures are on the screen: counts and what lies below wait for them, since they would take the server's
// time, and the browser's, from the pictures that a person looks for.
import { signal } from "@preact/signals";

const PATIENCE_MS = 800; // pictures that are slow to make hold up the counts no longer than this

/** The key of the question (see `GridSource`) whose pictures in view have all come. */
export const painted = signal("");

/** Wait until the pictures in view of this question have come, or for a moment where they do not. */
export function untilPainted(key: string): Promise<void> {
  return new Promise((done) => {
    if (painted.peek() === key) return done();
    const timer = setTimeout(end, PATIENCE_MS);
    const stop = painted.subscribe((now) => now === key && end());
    function end(): void {
      clearTimeout(timer);
      setTimeout(() => stop());
      done();
    }
  });
}
