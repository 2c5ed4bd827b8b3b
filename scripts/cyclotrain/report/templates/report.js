// Downloads: a file is in its button, compressed; an image is what the page shows.
async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).blob();
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-file]");
  if (!button) return;
  const link = document.createElement("a");
  link.download = button.dataset.file;
  const image = button.closest("figure")?.querySelector("img");
  link.href = button.dataset.gzip ? URL.createObjectURL(await unpacked(button.dataset.gzip)) : image.src;
  link.click();
});
// A printed page has everything unfolded.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
