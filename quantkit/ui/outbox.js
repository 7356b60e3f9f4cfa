// What a kernel changed in one turn of its loop, for many widgets, in one message: taken apart and given to each.

export default {
  initialize({ model }) {
    const give = async ({ parts }, buffers) => {
      let taken = 0;
      for (const { id, data, count } of parts) {
        const own = buffers.slice(taken, (taken += count));
        try {
          const target = await model.widget_manager.get_model(id);
          // As if it had come by itself, down to the order in which one model takes its changes.
          await target._handle_comm_msg({ content: { data }, buffers: own, parent_header: {} });
        } catch (closed) {
          console.warn("quantkit: a change of a widget that is not here", closed);
        }
      }
    };
    let before = Promise.resolve();
    model.on("msg:custom", (content, buffers) => { before = before.then(() => give(content, buffers)); });
    model.set("listening", true);
    model.save_changes();
  },
};
