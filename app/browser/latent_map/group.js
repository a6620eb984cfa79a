// Maps of one group show the same examples: the point under the pointer of one is marked in all, and the clicked point,
// the selection and the hidden classes are the same in all. They tell each other in the page, without the server, so
// that it is as fast as within one map. Each change carries its time, since what Python sends, or what a map that is
// just being drawn knows, may be older.

const CHANNEL = "ae-maps"; // the event's name; its detail is {from, group, news}

/** `takeNews(news)` and `markPoint(id)` are called when another map of the group has something newer. */
function makeGroup(map, root, { takeNews, markPoint }) {
  let pointed = null; // the id under the pointer that the others were told of

  function send(news) {
    const group = map.meta?.group;
    if (group) document.dispatchEvent(new CustomEvent(CHANNEL, { detail: { from: root, group, news } }));
  }
  function sendState() {
    const { changed, point, selected, hidden } = map.view;
    send({ changed, point, selected, hidden });
  }
  function hear({ detail: { from, group, news } }) {
    if (from === root || !map.meta?.group || group !== map.meta.group) return;
    if ("asked" in news) { if (map.view.changed > news.asked) sendState(); }
    else if ("changed" in news) { if (news.changed > map.view.changed) takeNews(news); }
    else markPoint(news.pointed);
  }
  document.addEventListener(CHANNEL, hear);

  return {
    /** This map's point, selection or hidden classes have just changed. */
    share() {
      map.view.changed = Math.max(performance.now(), map.view.changed + 1);
      sendState();
    },
    /** Asks for what is newer than what this map knows. */
    ask() { send({ asked: map.view.changed }); },
    /** The pointer is now over the example with this id, or over none (null). */
    point(id) {
      if (id === pointed) return;
      pointed = id;
      send({ pointed });
    },
    leave() { document.removeEventListener(CHANNEL, hear); },
  };
}
