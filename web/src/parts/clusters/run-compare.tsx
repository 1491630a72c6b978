// Where the images of each box went in another run: a row a box, a bar a share.
import { useEffect, useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { call, isAbort, pathOf } from "../../api/client";
import { openNode, runName, runs } from "../../state/clusters";
import { fail } from "../../state/notices";
import { valueColour } from "../../state/palette";
import { count, short } from "../../state/words";
import { Dialog } from "../frame/dialog";

export function RunCompare({ category, close }: { category: string; close: () => void }) {
  const others = (runs.value ?? []).map((one) => one.run).filter((one) => one !== runName.value);
  const [other, setOther] = useState(others[0] ?? null);
  const [found, setFound] = useState<Schemas["ComparisonOut"] | null>(null);
  useEffect(() => {
    if (other === null) return;
    const own = new AbortController();
    const query = new URLSearchParams({ a: runName.value!, b: other, level: "1" });
    call<Schemas["ComparisonOut"]>("GET", `${pathOf(category, "clusters", "compare")}?${query}`, { signal: own.signal }).then(setFound, (error: unknown) => isAbort(error) || fail(error));
    return () => own.abort();
  }, [category, other]);
  if (other === null) return <Dialog title="Compare runs" close={close}>There is one run only. Make another: vitrine cluster run NAME -c {category}</Dialog>;
  const boxes = [...new Set((found?.flows ?? []).map((flow) => flow.a))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const targets = [...new Set((found?.flows ?? []).map((flow) => flow.b))];
  return (
    <Dialog title={`${runName.value} and ${other}`} close={close}>
      {others.length > 1 && (
        <select class="pill" aria-label="Other run" value={other} onChange={(event) => setOther(event.currentTarget.value)}>
          {others.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      )}
      {found && (
        <>
          <p class="dim">
            {count(found.images)} images in both; ARI {short(found.ari)} (1: the same grouping, 0: by chance), NMI {short(found.nmi)}
          </p>
          <ul class="flows">
            {boxes.map((box) => {
              const flows = found.flows.filter((flow) => flow.a === box);
              const sum = flows.reduce((all, flow) => all + flow.count, 0);
              return (
                <li key={box}>
                  <button onClick={() => (close(), openNode(box))}>{box}</button>
                  <span class="stack">
                    {flows.map((flow) => (
                      <i
                        key={flow.b}
                        title={`${count(flow.count)} in ${flow.b}`}
                        style={{ width: `${(flow.count / sum) * 100}%`, backgroundColor: valueColour(targets.indexOf(flow.b)) }}
                      />
                    ))}
                  </span>
                  <span class="dim">{flows.slice(0, 3).map((flow) => `${flow.b} ${Math.round((flow.count / sum) * 100)} %`).join(", ")}</span>
                </li>
              );
            })}
          </ul>
        </>
      )}
    </Dialog>
  );
}
