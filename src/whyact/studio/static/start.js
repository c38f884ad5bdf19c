// Send a video or order a clip, then wait for the answer.
import { dropArea } from "./drop.js";
import { at, formatLeft, say } from "./shared.js";

const main = at("main");

const follow = async (id) => {
  for (;;) {
    const reply = await fetch(`/api/jobs/${id}`).catch(() => null);
    if (!reply) {
      say("The studio does not answer; is it still running?", true);
    } else {
      const job = await reply.json().catch(() => null); // another studio, or a proxy, need not answer in JSON
      if (!reply.ok || !job || job.state === "done" || job.state === "failed") return location.reload();
      at("stage").textContent = job.state === "waiting" ? "Waiting for the videos before" : job.stage;
      at("progress").value = job.share;
      at("left").textContent = formatLeft(job.left);
    }
    await new Promise((done) => setTimeout(done, 300));
  }
};

const second = () => (at("against")?.value === at("model").value ? "" : (at("against")?.value ?? ""));

const send = (file) => {
  const most = Number(main.dataset.most);
  if (file.size > most) return say(`${file.name} has ${(file.size / 2 ** 20).toFixed(0)} MB; at most ${most / 2 ** 20} MB are taken.`, true);
  const request = new XMLHttpRequest();
  const query = new URLSearchParams({ name: file.name, model: at("model").value, against: second() });
  request.open("POST", `/api/jobs?${query}`);
  request.setRequestHeader("content-type", "application/octet-stream");
  at("progress").hidden = false;
  request.upload.onprogress = (event) => {
    at("progress").value = event.loaded / event.total;
  };
  request.onload = () => arrived(request.status, request.responseText);
  request.onerror = () => arrived(0, "");
  say(`Sending ${file.name}`);
  request.send(file);
};

const arrived = (status, text) => {
  at("progress").hidden = true;
  let found = {};
  try {
    found = JSON.parse(text);
  } catch {
    found = {};
  }
  if (status === 202) location.assign(found.against ? `/jobs/${found.id}/against/${found.against}` : `/jobs/${found.id}`);
  else say(typeof found.detail === "string" ? found.detail : "The video did not arrive; try again.", true);
};

// Answers are deleted when the person says so, those that are still being made too.
for (const button of [at("stop"), at("forget-all")]) {
  button?.addEventListener("click", async () => {
    button.disabled = true;
    await Promise.all(button.dataset.jobs.split(" ").map((id) => fetch(`/api/jobs/${id}`, { method: "DELETE" })));
    location.assign("/");
  });
}
if (main.dataset.waiting) follow(main.dataset.waiting);
if (at("form")) {
  at("file").addEventListener("change", () => at("file").files[0] && send(at("file").files[0]));
  dropArea(({ files }) => (files.length > 1 ? say(`One video at a time: of ${files.length} files none was sent.`, true) : files[0] && send(files[0])));
  at("form").addEventListener("submit", (event) => event.preventDefault());
  const card = () => {
    for (const one of document.querySelectorAll("[data-card]")) one.hidden = one.dataset.card !== at("model").value;
  };
  for (const [name, value] of new URLSearchParams(location.search)) {
    const choice = name === "model" || name === "against" ? at(name) : null;
    if (choice && [...choice.options].some((option) => option.value === value)) choice.value = value;
  }
  at("model").addEventListener("change", card);
  card();
  at("demo").addEventListener("click", async () => {
    say("Setting up the camera");
    const seed = Math.floor(Math.random() * 1e6);
    const order = { action: at("action").value, model: at("model").value, against: second(), seed: Number(new URLSearchParams(location.search).get("seed") ?? seed) };
    const reply = await fetch("/api/demo", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(order) });
    arrived(reply.status, await reply.text());
  });
}
