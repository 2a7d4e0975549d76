// The Gates pages: Airflow's colours, links that leave the frame, and answers sent to Airflow's own address.
"use strict";

const outer = window.parent === window ? null : window.parent.document;

function follow_theme() {
  const classes = outer.documentElement.classList;
  const theme = classes.contains("dark") ? "dark" : classes.contains("light") ? "light" : "light dark";
  document.documentElement.style.colorScheme = theme;
}

function leave_frame(event) {
  const link = event.target.closest("a[data-outside]");
  if (!link || !outer) return;
  event.preventDefault();
  const beside = outer.createElement("a"); // a sandboxed frame cannot move its parent, the parent can
  beside.href = link.href;
  beside.click();
}

function reason(reply, body) {
  if (typeof body.detail === "string") return body.detail;
  if (body.detail && body.detail.message) return body.detail.message;
  return `Airflow answered ${reply.status}: ${JSON.stringify(body.detail || body)}`;
}

async function send(form, method, payload) {
  const alert = form.querySelector("[role=alert]");
  const button = form.querySelector("button");
  alert.textContent = "";
  button.disabled = true;
  try {
    const reply = await fetch(form.dataset.url, {
      method,
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(payload),
    });
    const body = await reply.json().catch(() => ({}));
    if (reply.ok) return await show_new_state();
    alert.textContent = reason(reply, body);
  } catch (error) {
    alert.textContent = `The server did not answer (${error.message}). Nothing is known of your answer: reload the page.`;
  } finally {
    button.disabled = false;
  }
}

async function show_new_state() {
  const text = await (await fetch(window.location.href)).text();
  const page = new DOMParser().parseFromString(text, "text/html");
  document.getElementById("main").replaceWith(page.getElementById("main"));
  connect();
  const state = document.getElementById("state");
  state.setAttribute("role", "status");
  state.focus();
}

function answer(event) {
  event.preventDefault();
  const form = event.currentTarget;
  const fields = new FormData(form);
  const form_input = { comment: fields.get("comment") };
  for (const box of form.querySelectorAll("input[type=checkbox]")) form_input[box.name] = box.checked;
  for (const field of form.querySelectorAll("[data-form]")) if (field.value) form_input[field.name] = field.value;
  send(form, "PATCH", { chosen_options: [fields.get("option")], params_input: form_input });
}

function withdraw(event) {
  event.preventDefault();
  const form = event.currentTarget;
  send(form, "POST", { reason: new FormData(form).get("reason") });
}

function connect() {
  document.getElementById("answer")?.addEventListener("submit", answer);
  document.getElementById("withdraw")?.addEventListener("submit", withdraw);
}

if (outer) {
  follow_theme();
  new MutationObserver(follow_theme).observe(outer.documentElement, { attributeFilter: ["class"] });
}
document.addEventListener("click", leave_frame);
connect();
