// Workers are loaded from addresses of this server. The page's security policy wants such an address to come
// from a named policy, and this is the only one there is.

interface AddressPolicy {
  createScriptURL(address: string): string;
}
interface PolicyMaker {
  createPolicy(name: string, rules: { createScriptURL: (address: string) => string }): AddressPolicy;
}

let policy: AddressPolicy | null = null;

/** Start the worker whose address index.html gives under this name. */
export function startWorker(name: "layout-worker" | "lasso-worker"): Worker {
  const address = document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)!.content;
  const maker = (window as unknown as { trustedTypes?: PolicyMaker }).trustedTypes;
  policy ??= maker?.createPolicy("vitrine", { createScriptURL: own }) ?? { createScriptURL: own };
  return new Worker(policy.createScriptURL(address), { type: "module" });
}

function own(address: string): string {
  if (!/^\/page\/[\w-]+\.js$/.test(address)) throw new Error(`${address} is no worker of this page`);
  return address;
}
