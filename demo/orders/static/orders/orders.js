// Shows how far a refund is, without loading the page again.
"use strict";

const EVERY_MS = 1000;

async function renew() {
  const shown = document.getElementById("progress");
  if (!shown?.hasAttribute("data-live")) return;
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const next = page.getElementById("progress");
    if (next && next.innerHTML !== shown.innerHTML) shown.replaceWith(next);
  } catch {
    // the shop is away for a moment: what is shown stays, and the next time it may be back
  }
  setTimeout(renew, EVERY_MS);
}

setTimeout(renew, EVERY_MS);
