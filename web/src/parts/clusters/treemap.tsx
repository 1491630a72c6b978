// The boxes of a node as tiles whose area is their images, each with its picture.
import { hierarchy, treemap, treemapSquarify } from "d3-hierarchy";
import { thumbnail } from "../../api/client";
import type { Node } from "../../state/clusters";
import { chooseOrOpen, chosenBox, numberOf, openNode } from "../../state/clusters";
import { count } from "../../state/words";

const WIDTH = 296;
const HEIGHT = 560;

export function Treemap({ category, nodes }: { category: string; nodes: Node[] }) {
  const root = hierarchy<{ node: Node | null; children?: { node: Node }[] }>({ node: null, children: nodes.map((node) => ({ node })) })
    .sum((one) => one.node?.count ?? 0)
    .sort((a, b) => (b.value ?? 0) - (a.value ?? 0));
  const tiles = treemap<{ node: Node | null }>().size([WIDTH, HEIGHT]).paddingInner(2).tile(treemapSquarify.ratio(1.1))(root).leaves();
  return (
    <div class="treemap" style={{ height: `${HEIGHT}px` }}>
      {tiles.map((tile) => {
        const node = tile.data.node!;
        const [width, height] = [tile.x1 - tile.x0, tile.y1 - tile.y0];
        const first = node.representatives[0];
        return (
          <button
            key={node.id}
            class={chosenBox.value === node.id ? "on" : ""}
            aria-label={`Box ${numberOf(node.id)}, ${count(node.count)} images`}
            style={{ left: `${(tile.x0 / WIDTH) * 100}%`, top: `${tile.y0}px`, width: `${(width / WIDTH) * 100}%`, height: `${height}px` }}
            onClick={() => chooseOrOpen(node)}
            onDblClick={() => openNode(node.id)}
          >
            {first && <img src={thumbnail(category, first.id, width > 160 ? 320 : 160)} alt="" loading="lazy" />}
            {width > 40 && height > 26 && (
              <span>
                <b>{numberOf(node.id)}</b> {width > 60 && <span class="num">{count(node.count)}</span>}
              </span>
            )}
          </button>
        );
      })}
    </div>
  );
}
