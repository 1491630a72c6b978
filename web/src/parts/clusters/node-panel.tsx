// The box that is chosen: what it holds, and what can be done with all of it.
import { useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { call, pathOf } from "../../api/client";
import type { Node } from "../../state/clusters";
import { by, nodeId, openNode, renewNode, runName } from "../../state/clusters";
import { afterChange } from "../../state/image";
import { askOf } from "../../state/ask";
import { changed, fail } from "../../state/notices";
import type { Undo } from "../../state/notices";
import { address, go } from "../../state/route";
import { chooseAll } from "../../state/selection";
import { mayWrite } from "../../state/session";
import { count, counted, short } from "../../state/words";
import { Dialog } from "../frame/dialog";
import { TagField } from "../image/tag-editor";

export function NodePanel({ category, node }: { category: string; node: Node }) {
  const [asking, ask] = useState<"tag" | "name" | null>(null);
  const run = runName.value!;
  const groups = by.value === null ? [] : (node.groupings[by.value] ?? []);
  const query = `${encodeURIComponent(`cluster.${run}`)}=${node.id}`;
  return (
    <section class="node-panel" aria-label={`Box ${node.id}`}>
      <h3>
        <b>{node.id}</b>
        <span class="dim num">
          {counted(node.count, "image")}
          {node.radius !== null && `, radius ${short(1 - node.radius)}`}
        </span>
      </h3>
      {groups.length > 0 && <p class="dim">{groups.slice(0, 6).map((one) => `${count(one.count)} ${one.value}`).join(", ")}</p>}
      <div class="node-does">
        {node.child_count > 0 && node.id !== nodeId.value && (
          <button class="pill" onClick={() => openNode(node.id)}>
            Open box <kbd>↵</kbd>
          </button>
        )}
        <button class="pill" onClick={() => asSearch(category, node.id)}>
          As a search <kbd>S</kbd>
        </button>
        {mayWrite() && (
          <>
            <button class="pill" onClick={() => ask("tag")}>
              Tag all {count(node.count)}
            </button>
            <button class="pill" onClick={() => ask("name")}>
              Rename
            </button>
          </>
        )}
        <button class="pill" onClick={() => chooseAll(askOf(new URLSearchParams(query)), node.count)}>
          Choose all
        </button>
      </div>
      {asking === "tag" && (
        <Dialog title={`Tag all ${count(node.count)}`} close={() => ask(null)}>
          <TagField
            category={category}
            label="a tag"
            focus
            enter={(tag) => {
              ask(null);
              void tagAll(category, run, node, tag);
            }}
          />
        </Dialog>
      )}
      {asking === "name" && (
        <Dialog title={`Name ${node.id}`} close={() => ask(null)}>
          <form
            class="field"
            onSubmit={(event) => {
              event.preventDefault();
              const name = (event.currentTarget.elements.namedItem("name") as HTMLInputElement).value.trim();
              ask(null);
              void rename(category, run, node, name);
            }}
          >
            <input name="name" aria-label="Name" defaultValue={node.name} maxLength={200} autofocus />
            <button class="pill main" type="submit">
              Save
            </button>
          </form>
        </Dialog>
      )}
    </section>
  );
}

/** Search within a box. */
export function asSearch(category: string, node: string): void {
  go(address("search", category, [], `cluster.${runName.value}=${node}`));
}

async function tagAll(category: string, run: string, node: Node, tag: string): Promise<void> {
  const json = { action: "change", changes: { add_tags: [tag] }, query: { filter: { clusters: { [run]: node.id } } } };
  try {
    const done = await call<{ changed: number; undo: Undo | null }>("POST", pathOf(category, "images", "batch"), { json });
    changed(`Tagged ${counted(done.changed, "image")} ${tag}`, done.undo, () => {
      afterChange(category);
      renewNode();
    });
    renewNode();
  } catch (error) {
    fail(error);
  }
}

async function rename(category: string, run: string, node: Node, name: string): Promise<void> {
  try {
    const done = await call<Schemas["RenamedOut"]>("PATCH", pathOf(category, "clusters", run, "nodes", node.id), { json: { name } });
    changed(done.name ? `Named ${node.id} ${done.name}` : `Took the name of ${node.id} away`, done.undo, renewNode);
    renewNode();
  } catch (error) {
    fail(error);
  }
}
