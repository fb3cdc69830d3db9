var _yt_player={};(function(g){var window=this;"use strict";var w="set{get{split{join".split("{"),A,B=/[/{]/g,C=[D];
D=function(a){return a[w[2]]("")};g.U=function(a){this.a=a};g.z=g.U.prototype;g.z.go=function(){return C[0](`x${1/2}y`)};
E=function(a,b,c){a=new g.U(a,!0);a.set("alr","yes");c&&(c=F(1,decodeURIComponent(c)),a[w[0]](b,encodeURIComponent(c)));return a};
var cfg={signatureTimestamp:20472}
for(;;)w.push(w.shift());})(_yt_player);