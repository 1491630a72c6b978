// The image that is kept and another one side by side; space held, they take turns in one place.
import { useEffect, useState } from "preact/hooks";
import type { Group, Member } from "../../state/duplicates";
import { turn } from "../../state/duplicates";
import { mayWrite } from "../../state/session";
import { short } from "../../state/words";

interface Props {
  group: Group;
  kept: Member;
  other: Member;
  going: boolean;
  choose: (id: string) => void;
}

const FLICKER_MS = 350;

export function Stage({ group, kept, other, going, choose }: Props) {
  const flicker = useFlicker();
  if (flicker !== null) {
    const shown = flicker ? other : kept;
    return (
      <div class="stage-pair one">
        {[kept, other].map((member) => (
          <figure key={member.id} class={member === shown ? "" : "away"}>
            <img src={large(member)} alt={member === kept ? "The image to keep" : "The other image"} />
            <figcaption class={member === kept ? "kept" : ""}>{member === kept ? "Kept" : verdictOf(member)}</figcaption>
          </figure>
        ))}
      </div>
    );
  }
  return (
    <div class="stage-pair">
      <figure class="on">
        <img src={large(kept)} alt="The image to keep" />
        <figcaption class="kept">
          Kept <span class="dim">{nameOf(kept)}</span>
        </figcaption>
      </figure>
      <figure class={going ? "goes" : ""}>
        {other.payload === null ? <span class="empty">This image is gone</span> : <img src={large(other)} alt="The other image" />}
        <figcaption>
          {verdictOf(other)} <span class="dim">{nameOf(other)}</span>
          {mayWrite() && other.payload !== null && (
            <>
              <button class="pill" aria-pressed={going} onClick={() => turn(other.id)}>
                {going ? "Goes" : "Stays"} <kbd>X</kbd>
              </button>
              <button class="pill" onClick={() => choose(other.id)}>
                Keep this one <kbd>C</kbd>
              </button>
            </>
          )}
        </figcaption>
      </figure>
      <p class="dim hint">
        Hold <kbd>space</kbd> to flicker{group.members.length > 2 && <>, <kbd>←</kbd> <kbd>→</kbd> for the others</>}
      </p>
    </div>
  );
}

/** Null while space is not held; then false and true in turn, or true where the system asks for less motion. */
function useFlicker(): boolean | null {
  const [flicker, setFlicker] = useState<boolean | null>(null);
  useEffect(() => {
    let timer = 0;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const down = (event: KeyboardEvent) => {
      if (event.key !== " " || event.ctrlKey || event.metaKey || event.altKey || isOperated(event.target)) return;
      event.preventDefault();
      if (event.repeat || timer !== 0) return;
      setFlicker(true);
      timer = setInterval(() => still || setFlicker((other) => !other), FLICKER_MS);
    };
    const end = () => {
      clearInterval(timer);
      timer = 0;
      setFlicker(null);
    };
    const up = (event: KeyboardEvent) => event.key === " " && end();
    addEventListener("keydown", down);
    addEventListener("keyup", up);
    addEventListener("blur", end);
    return () => {
      end();
      removeEventListener("keydown", down);
      removeEventListener("keyup", up);
      removeEventListener("blur", end);
    };
  }, []);
  return flicker;
}

/** Space on a button presses it, and in a field it is a letter. */
function isOperated(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("button, a, input, textarea, select, dialog") !== null;
}

function large(member: Member): string {
  return `${member.urls.thumbnail}?w=1280`;
}

function nameOf(member: Member): string {
  return String(member.payload?.["filename"] ?? "").replace(/^.*\//, "");
}

const VERDICTS: Record<string, string> = {
  keep: "Was kept",
  identical: "Saved again",
  resized: "Resized",
  edited: "Edited",
  "look-alike": "Looks alike",
  unseen: "Not looked at closely",
};

export function verdictOf(member: Member): string {
  const words = VERDICTS[member.verdict] ?? member.verdict;
  const likeness = member.verdict === "keep" ? "" : `, structure ${short(member.similarity)}`;
  return `${words}${member.turn ? `, ${member.turn}` : ""}${likeness}`;
}
