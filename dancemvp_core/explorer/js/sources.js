// Where atlases, clips and music come from. Everything that is shown comes through a source, of which there are two:
// `live` asks the kernel behind a notebook, `embedded` has everything in the page. Uses data.js.
//
//   source.header, source.points   an atlas as dancemvp_core/explorer/scene.py makes it: JSON and one buffer of arrays
//   source.has(sequence, move)     whether that clip can be had
//   source.clip(sequence, move), source.audio(key), source.atlas(encoder)   promises of {header, data}
//   source.close()                 nothing more will be asked

/** Answers from the kernel: each question has an id that its answer repeats. */
function live(model) {
  const waiting = new Map();
  const buffer = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  const listen = (message, buffers) => {
    const asked = waiting.get(message.id);
    if (!asked) return;
    waiting.delete(message.id);
    if (message.error) asked.reject(new Error(message.error));
    else asked.resolve({ header: message.header, data: buffer(buffers[0]) });
  };
  model.on("msg:custom", listen);
  const ask = (question) =>
    new Promise((resolve, reject) => {
      const id = crypto.getRandomValues(new Uint32Array(2)).join("-");
      waiting.set(id, { resolve, reject });
      model.send({ ...question, id });
    });
  return {
    header: model.get("header"),
    points: model.get("points"),
    has: () => true,
    clip: (sequence, primitive) => ask({ ask: "clip", sequence, primitive }),
    audio: (key) => ask({ ask: "audio", key }),
    atlas: (encoder) => ask({ ask: "atlas", encoder }),
    close: () => model.off("msg:custom", listen),
  };
}

/** Everything in the page: {header, points, clips: {"sequence-move": [header, arrays]}, audio: {key: flac}}, in base64. */
function embedded(page) {
  const clip = async (key) => {
    if (!page.clips[key]) throw new Error("This dance is not in the page.");
    const [header, data] = page.clips[key];
    return { header, data: fromBase64(data) };
  };
  return {
    header: page.header,
    points: fromBase64(page.points),
    has: (sequence, move) => `${sequence}-${move}` in page.clips,
    clip: (sequence, move) => clip(`${sequence}-${move}`),
    audio: async (key) => ({ header: {}, data: fromBase64(page.audio[key]) }),
    atlas: async () => Promise.reject(new Error("Other runs are not in the page.")),
    close: () => {},
  };
}
