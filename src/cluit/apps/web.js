// Refuses files before they are sent, in a sentence: of these Gradio says no more than that an error occurred.
(() => {
  const suffixes = SUFFIXES, megabytes = MEGABYTES;
  const words = Object.assign(document.createElement("p"), { id: "refusal", role: "alert", hidden: true });
  words.onclick = () => words.hidden = true;
  const fault = file => {
    if (!suffixes.some(suffix => file.name.toLowerCase().endsWith(suffix)))
      return `${file.name} cannot be used: not a ${suffixes.join(", ")} picture`;
    if (file.size > megabytes * 1e6)
      return `${file.name} cannot be used: ${(file.size / 1e6).toFixed(1)} megabytes, more than ${megabytes}; give a smaller file`;
  };
  const look = event => {
    const from = event.type === "drop" ? event.dataTransfer : event.target;
    const faults = [...from?.files ?? []].map(fault).filter(Boolean);
    if (!words.isConnected) document.body.append(words);
    words.textContent = faults.join("\n");
    words.hidden = !faults.length;
    if (!faults.length) return;
    event.stopImmediatePropagation();
    event.preventDefault();
    if (event.type === "change") event.target.value = "";
    else event.target.dispatchEvent(new DragEvent("dragleave", { bubbles: true }));
  };
  addEventListener("change", event => event.target.type === "file" && look(event), true);
  addEventListener("drop", look, true);
})();
