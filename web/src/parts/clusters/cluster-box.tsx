// One box of a cluster run: five of its pictures, its name and number, how many it holds, and what they are.
import { thumbnail } from "../../api/client";
import type { Node } from "../../state/clusters";
import { by, chooseOrOpen, chosenBox, lit, numberOf, openNode, titleOfNode } from "../../state/clusters";
import { valueColour } from "../../state/palette";
import { count } from "../../state/words";

interface Props {
  category: string;
  node: Node;
  /** Values of the grouping in the order of the whole node, which gives them their colours. */
  values: string[];
}

export function ClusterBox({ category, node, values }: Props) {
  const title = titleOfNode(node);
  const groups = by.value === null ? [] : (node.groupings[by.value] ?? []);
  const sum = groups.reduce((all, one) => all + one.count, 0);
  const litCount = groups.find((one) => String(one.value) === lit.value)?.count ?? 0;
  return (
    <button
      class={chosenBox.value === node.id ? "cluster-box on" : "cluster-box"}
      onClick={() => chooseOrOpen(node)}
      onDblClick={() => openNode(node.id)}
      // by the keyboard alone: a click focuses first, and would then open what nobody had chosen
      onFocus={(event) => event.currentTarget.matches(":focus-visible") && (chosenBox.value = node.id)}
    >
      <span class="mosaic">
        {node.representatives.slice(0, 5).map((one, at) => (
          <img key={one.id} src={thumbnail(category, one.id, at === 0 ? 320 : 160)} alt="" loading="lazy" />
        ))}
      </span>
      <span class="caption">
        <span class={title === null ? "serif none" : "serif"}>{title ?? "No name stands out"}</span>
        <small class="dim num"><span class="hidden">box </span>{numberOf(node.id)}</small>
        <span class="num">{count(node.count)}<span class="hidden"> images</span></span>
        {litCount > 0 && <b class="num">{Math.round((litCount / node.count) * 100)} %<span class="hidden"> {lit.value}</span></b>}
      </span>
      <span class="stack" aria-hidden="true">
        {groups.map((one) => {
          const value = String(one.value);
          return (
            <i
              key={value}
              class={lit.value !== null && lit.value !== value ? "unlit" : ""}
              style={{ width: `${(one.count / Math.max(1, sum)) * 100}%`, backgroundColor: valueColour(values.indexOf(value)) }}
            />
          );
        })}
      </span>
    </button>
  );
}
