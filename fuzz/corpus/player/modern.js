((g, world) => {
const a = 'b', {c, d} = world, e = n => `x${`y${'z'}`}`
class F extends G { #h = 1; static i = 2 }
function j(k) { return k }
if (a) c()
else d()
l: for (;;) break l
})(this.x = {}, this)
