// Clusters: the boxes of a node, how they are made up, and the way down into them.
import { useEffect, useState } from "preact/hooks";
import { thumbnail } from "../api/client";
import { Down } from "../parts/frame/bar";
import { ClusterBox } from "../parts/clusters/cluster-box";
import { MetadataTable } from "../parts/clusters/metadata-table";
import { asSearch, NodePanel } from "../parts/clusters/node-panel";
import { RunCompare } from "../parts/clusters/run-compare";
import { Treemap } from "../parts/clusters/treemap";
import type { Detail } from "../state/clusters";
import { by, chosenBox, detail, followClusters, groupingFields, lit, missing, nodeId, numberOf, openNode, renewNode, runName, runs, titleOfNode } from "../state/clusters";
import { focusIsOn, useKeys } from "../state/keys";
import { valueColour } from "../state/palette";
import { address, go, route, setQuery } from "../state/route";
import { mayWrite } from "../state/session";
import { titleOf } from "../state/summary";
import { count, counted } from "../state/words";

export function Clusters() {
  useEffect(followClusters, []);
  const { category } = route.value;
  const [dialog, open] = useState<"compare" | "table" | null>(null);
  const now = detail.value;
  const chosen = now?.children.find((one) => one.id === chosenBox.value) ?? now?.node ?? null;
  const step = (right: number, down: number) => () => {
    const boxes = [...document.querySelectorAll<HTMLElement>(".cluster-box")];
    const columns = boxes.filter((box) => box.offsetTop === boxes[0]!.offsetTop).length;
    const at = boxes.findIndex((box) => box === document.activeElement);
    const to = at < 0 ? 0 : at + right + down * columns;
    boxes[Math.min(boxes.length - 1, Math.max(0, to))]?.focus();
  };
  useKeys("Clusters", [
    { keys: "ArrowRight", does: "Next box", run: step(1, 0) },
    { keys: "ArrowLeft", does: "Box before", run: step(-1, 0) },
    { keys: "ArrowDown", does: "Box below", run: step(0, 1) },
    { keys: "ArrowUp", does: "Box above", run: step(0, -1) },
    { keys: "Enter", does: "Open the box", run: () => openNode(chosenBox.value!), when: () => chosenBox.value !== null && focusIsOn(".cluster-box") },
    { keys: "Backspace", does: "Up", run: () => now?.above.length && openNode(now.above.at(-1)!) },
    { keys: "s", does: "As a search", run: () => asSearch(category!, chosen!.id), when: () => chosen !== null },
  ]);
  if (category === null) return null;
  if (runs.value !== null && runs.value.length === 0) return <NoRun category={category} />;
  if (missing.value) return <NoNode />;
  if (now === null || chosen === null) return <main aria-busy="true" />;
  const values = valuesOf(now);
  return (
    <main class="clusters">
      <div class="clusters-main">
        <header class="clusters-head">
          <Breadcrumb category={category} now={now} />
          <RunMenu />
          <button class="pill" onClick={() => open("compare")}>Compare</button>
          {mayWrite() && <button class="pill" onClick={() => open("table")}>Add a table</button>}
          <NodeField />
        </header>
        <Grouping now={now} values={values} />
        {now.children.length > 0 ? (
          <div class="boxes">
            {now.children.map((node) => <ClusterBox key={node.id} category={category} node={node} values={values} />)}
          </div>
        ) : (
          <div class="empty">
            <span class="serif">A leaf of {counted(now.node.count, "image")}</span>
            <div class="leaf">
              {now.node.representatives.map((one) => (
                <a key={one.id} href={address("image", category, [one.id])} aria-label="Open the image">
                  <img src={thumbnail(category, one.id, 320)} alt="" />
                </a>
              ))}
            </div>
            <button class="pill" onClick={() => asSearch(category, now.node.id)}>See them all</button>
          </div>
        )}
      </div>
      <aside class="clusters-side" aria-label="Treemap and the chosen box">
        {now.children.length > 0 && (
          <>
            <h3>Treemap <span class="dim">area is images</span></h3>
            <Treemap category={category} nodes={now.children} />
          </>
        )}
        <NodePanel category={category} node={chosen} />
      </aside>
      {dialog === "compare" && <RunCompare category={category} close={() => open(null)} />}
      {dialog === "table" && <MetadataTable category={category} after={renewNode} close={() => open(null)} />}
    </main>
  );
}

function Breadcrumb({ now }: { category: string; now: Detail }) {
  const leaves = runs.value?.find((one) => one.run === now.run)?.leaves ?? 0;
  return (
    <div class="crumbs">
      <nav aria-label="Where this box is" class="serif">
        {now.above.map((id) => (
          <button key={id} class="dim" onClick={() => openNode(id)}>
            {id === "root" ? "Everything" : numberOf(id)} <span aria-hidden="true">›</span>
          </button>
        ))}
        <h1 class="serif">{titleOfNode(now.node) ?? `Box ${numberOf(now.node.id)}`}</h1>
      </nav>
      <span class="dim num">
        {counted(now.node.count, "image")}
        {now.children.length > 0 && ` in ${counted(now.children.length, "box", "boxes")}`}
        {now.node.id === "root" && `, ${counted(leaves, "leaf", "leaves")}`}
      </span>
    </div>
  );
}

function RunMenu() {
  return (
    <label class="pill pick">
      run <b>{runName.value}</b>
      <Down />
      <select aria-label="Run" value={runName.value ?? ""} onChange={(event) => openNode("root", event.currentTarget.value)}>
        {runs.value?.map((one) => <option key={one.run} value={one.run}>{one.run} ({one.method})</option>)}
      </select>
    </label>
  );
}

function NodeField() {
  return (
    <form
      class="field node-field"
      onSubmit={(event) => {
        event.preventDefault();
        const field = event.currentTarget.elements.namedItem("node") as HTMLInputElement;
        if (field.value.trim()) openNode(field.value.trim());
        field.value = "";
      }}
    >
      <input name="node" placeholder="root-14" aria-label="Go to a box" autocomplete="off" />
      <kbd>↵</kbd>
    </form>
  );
}

/** The values of the grouping, each a light that stays on in every box. */
function Grouping({ now, values }: { now: Detail; values: string[] }) {
  const fields = groupingFields();
  const groups = by.value === null ? [] : (now.node.groupings[by.value] ?? []);
  if (fields.length === 0) return null;
  const lights = groups.slice(0, 10);
  // what is lit can be put out again wherever one has gone
  if (lit.value !== null && !lights.some((one) => String(one.value) === lit.value)) {
    lights.push({ value: lit.value, count: groups.find((one) => String(one.value) === lit.value)?.count ?? 0 });
  }
  return (
    <div class="grouping">
      <label class="pill pick">
        by <b>{by.value === null ? "nothing" : titleOf(by.value).toLowerCase()}</b>
        <Down />
        <select aria-label="Group by" value={by.value ?? ""} onChange={(event) => setQuery("clusters", { by: event.currentTarget.value, lit: null })}>
          {fields.map((field) => <option key={field} value={field}>{titleOf(field)}</option>)}
        </select>
      </label>
      {lights.map((one) => {
        const value = String(one.value);
        return (
          <button key={value} class="light" aria-pressed={lit.value === value} onClick={() => setQuery("clusters", { lit: lit.value === value ? null : value })}>
            <i style={{ backgroundColor: valueColour(values.indexOf(value)) }} />
            {value} <em class="num">{count(one.count)}</em>
          </button>
        );
      })}
    </div>
  );
}

/** The values of the grouping, the most frequent of the whole node first. */
function valuesOf(now: Detail): string[] {
  return by.value === null ? [] : (now.node.groupings[by.value] ?? []).map((one) => String(one.value));
}

function NoNode() {
  return (
    <main class="empty">
      <span class="serif">There is no box {nodeId.value}</span>
      <p>Boxes are called root, root-14 or root-14-3; a run that was made again has others.</p>
      <button class="pill" onClick={() => openNode("root")}>To all boxes</button>
    </main>
  );
}

function NoRun({ category }: { category: string }) {
  return (
    <main class="empty">
      <span class="serif">No clusters yet</span>
      <p>Make a tree of them: <code>vitrine cluster run look -c {category}</code></p>
      <p>or in Python: <code>v["{category}"].cluster("look")</code></p>
      <button class="pill" onClick={() => go(address("search", category))}>Back to the pictures</button>
    </main>
  );
}
