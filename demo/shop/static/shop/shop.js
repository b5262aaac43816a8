// Improves the search page; without it the same form is sent with its button.
"use strict";

const form = document.querySelector("form[data-live]");
const answer = document.getElementById("answer");

function tellValue(slider) {
  const output = slider.parentElement.querySelector("output");
  if (!output) return;
  const isWeight = slider.name !== "k";
  output.value = isWeight && slider.value === "0" ? "off" : (isWeight ? "× " : "") + slider.value;
}

function address() {
  const fields = [...new FormData(form)].filter(([, value]) => value !== "");
  return form.action + "?" + new URLSearchParams(fields);
}

let latest = 0;

async function renew() {
  if (!form.elements.q.value.trim()) return;
  const mine = ++latest;
  const url = address();
  const response = await fetch(url, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  if (mine !== latest || !page.getElementById("answer")) return;
  answer.replaceChildren(...page.getElementById("answer").childNodes);
  document.querySelector(".examples")?.remove();
  history.replaceState(null, "", url);
  for (const next of document.querySelectorAll("input[name=next]")) next.value = location.pathname + location.search;
}

if (form && answer) {
  form.addEventListener("input", (event) => {
    if (event.target.type === "range") tellValue(event.target);
  });
  form.addEventListener("change", (event) => {
    if (event.target.name !== "q") renew().catch(() => form.submit());
  });
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, textarea, select");
  const box = document.getElementById("id_q");
  if (event.key === "/" && !typing && box) {
    event.preventDefault();
    box.focus();
    box.select();
  }
});
