//! Our own player scripts, in the shape of YouTube's script and of some dialects of it.
//!
//! Owns the two transformations, written twice: as JavaScript in each dialect, and in Rust, whose result is the right
//! one. A script has some 4 KB, and the real one 2.7 MB.

/// How a script is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Words out of a table, functions that do several things by number: as the site writes today.
    Table,
    /// The same without a table.
    Plain,
    /// The words that give the place away stand in the table too, which is turned round at the start.
    Turned,
    /// Classes, constants, arrows, templates; no semicolons.
    Modern,
}

impl Dialect {
    pub const ALL: [Self; 4] = [Self::Table, Self::Plain, Self::Turned, Self::Modern];
}

/// One player: another `seed` is another script, as every few days.
#[derive(Debug, Clone, Copy)]
pub struct PlayerScript {
    pub dialect: Dialect,
    pub seed: u32,
}

/// Characters that an `n` is made of, in the order of the script's own alphabet.
const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// The words that stand in the table, and as what: `§n` in the template is the n-th.
const WORDS: [&str; 16] = [
    "set",
    "get",
    "url",
    "split",
    "",
    "join",
    "reverse",
    "splice",
    "length",
    "prototype",
    "push",
    "indexOf",
    "clone",
    "n",
    "alr",
    "yes",
];
/// Those of them that only [`Dialect::Turned`] hides.
const GIVE_AWAY: [&str; 2] = ["alr", "yes"];
const TURNED_BY: usize = 5;

impl PlayerScript {
    /// As the site names it: eight hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        format!(
            "{:08x}",
            self.seed.wrapping_mul(0x9e37_79b1) ^ self.dialect as u32
        )
    }

    #[must_use]
    pub fn signature_timestamp(&self) -> u32 {
        20_000 + self.seed % 1_000
    }

    fn cut(&self) -> usize {
        1 + self.seed as usize % 3
    }

    fn swap(&self) -> usize {
        7 + self.seed as usize % 40
    }

    fn shift(&self) -> usize {
        1 + self.seed as usize % 61
    }

    /// What becomes of an enciphered signature.
    #[must_use]
    pub fn sig(&self, s: &str) -> String {
        let mut signs: Vec<char> = s.chars().collect();
        let place = self.swap() % signs.len();
        signs.swap(0, place);
        signs.reverse();
        signs.drain(..self.cut().min(signs.len()));
        let place = (self.swap() + 13) % signs.len();
        signs.swap(0, place);
        signs.into_iter().collect()
    }

    /// What becomes of an `n`.
    #[must_use]
    pub fn n(&self, n: &str) -> String {
        let place = |sign: char| ALPHABET.find(sign).unwrap_or_default();
        let mut before = self.shift();
        let shifted = n.chars().enumerate().map(|(index, sign)| {
            before = (place(sign) + before + index) % ALPHABET.len();
            ALPHABET.as_bytes()[before] as char
        });
        let mut signs: Vec<char> = shifted.collect();
        signs.reverse();
        signs.drain(..2.min(signs.len()));
        signs.into_iter().collect()
    }

    /// An enciphered signature of which [`Self::sig`] makes `signature`.
    #[must_use]
    pub fn enciphered(&self, signature: &str) -> String {
        let length = signature.len() + self.cut();
        let marks: String = (0..length)
            .filter_map(|place| char::from_u32(0x4e00 + u32::try_from(place).ok()?))
            .collect();
        let mut signs = vec!['A'; length];
        for (mark, sign) in self.sig(&marks).chars().zip(signature.chars()) {
            if let Some(place) = marks.chars().position(|known| known == mark) {
                signs[place] = sign;
            }
        }
        signs.into_iter().collect()
    }

    /// The script itself.
    #[must_use]
    pub fn text(&self) -> String {
        let template = if self.dialect == Dialect::Modern {
            MODERN
        } else {
            CLASSIC
        };
        let numbers = [
            ("#CUT", self.cut()),
            ("#SWAP", self.swap()),
            ("#SHIFT", self.shift()),
            ("#STS", self.signature_timestamp() as usize),
        ];
        let mut text = template.replace("#ALPHABET", ALPHABET);
        for (name, number) in numbers {
            text = text.replace(name, &number.to_string());
        }
        // The longest numbers first: `§1` is the beginning of `§13`.
        for (number, word) in WORDS.iter().enumerate().rev() {
            let (property, value) = self.written(number, word);
            text = text
                .replace(&format!(".§{number}"), &property)
                .replace(&format!("§{number}"), &value);
        }
        text.replace("#TABLE", &self.table())
    }

    /// A word as a property and as a value.
    fn written(&self, number: usize, word: &str) -> (String, String) {
        let in_table = match self.dialect {
            Dialect::Table => !GIVE_AWAY.contains(&word),
            Dialect::Turned => true,
            Dialect::Plain | Dialect::Modern => false,
        };
        if in_table {
            (format!("[w[{number}]]"), format!("w[{number}]"))
        } else {
            (format!(".{word}"), format!("{word:?}"))
        }
    }

    fn table(&self) -> String {
        let mut words = WORDS.to_vec();
        match self.dialect {
            Dialect::Plain | Dialect::Modern => String::new(),
            Dialect::Table => format!("w={:?}.split(\"{{\"),", words.join("{")),
            Dialect::Turned => {
                words.rotate_right(TURNED_BY);
                format!(
                    "w={words:?};(function(a,b){{for(;b--;)a.push(a.shift())}})(w,{TURNED_BY});var "
                )
            }
        }
    }
}

/// `'use strict'` stands behind `var window`, as in the real one.
const CLASSIC: &str = r##"var _yt_player={};(function(g){var window=this;/*

 Made up for tests.
*/
'use strict';var #TABLE
Ab,Bc,Cd,De,Ef,Fg,Gh,Hi=/[/]\/"'`${/g,Ij=4/2/1,Jk=document.title/2;
Kl=function(a,b){return a<b?/{/:b};
g.Lm=function(a){return Kl(a,"}")};
document.body.appendChild(document.createElement("video"));
for(var Mn=0;Mn<3;Mn++)window.setTimeout(g.Lm,Mn);
Ab=function(a,b,c){if((a^7)==6){b=b.§3(§4);Bc.x7(b,#SWAP);Bc.r2(b);Bc.k5(b,#CUT);Bc.x7(b,#SWAP+13);return b.§5(§4)}if(a&8)return g.Lm(b);if((a|2)==2)return c};
Bc={x7:function(a,b){var c=a[0];a[0]=a[b%a.§8];a[b%a.§8]=c},
r2:function(a){a.§6()},
k5:function(a,b){a.§7(0,b)}};
Cd=function(a){var b="#ALPHABET",c=#SHIFT,d=[function(e){e.§6()},null,-17,function(e,f){for(var h=0;h<e.§8;h++)c=(b.§11(e[h])+c+h)%b.§8,f.§10(b.charAt(c))},b];d[1]=d;try{var e=[];(0,d[3])(a.§3(§4),e);(0,d[0])(e);typeof Ef==="undefined"||De(e,2);return e.§5(§4)}catch(f){return"Nw_aX-_w8_"+a}};
De=function(a,b){a.§7(0,b)};
Ef=function(){return Fg(this)};
Gh=function(a){if(!a.read){a.read=!0;var b=a.§2.§3("?")[1]||§4;b.§3("&").forEach(function(c){c=c.§3("=");c[0]&&(a.of[c[0]]=decodeURIComponent(c[1]||§4))})}};
No=function(a){var b=a.of.§13||null;b&&(b=Op[0](b),a.§0(§13,b))};
g.Url=function(a,b){this.§2=a;this.whole=b;this.read=!1;this.of={}};
g.z=g.Lm.§9;g.z.other=function(){return Pq};
g.z=g.Url.§9;g.z.§0=function(a,b){Gh(this);this.of[a]=b};
g.z.§1=function(a){Gh(this);return this.of[a]||null};
g.z.V9=function(){No(this);return this.§2};
g.Url.§9.§12=function(){return new g.Url(this.§2,this.whole)};
var Op=[Cd],Pq={signatureTimestamp:#STS,other:12345};
Qr=function(a,b,c){b=b===void 0?"":b;c=c===void 0?"":c;a=new g.Url(a,!0);a.set(§14,§15);c&&(c=Ab(1,decodeURIComponent(c)),a.§0(b,encodeURIComponent(c)));return a};
Rs=function(a){a.details.sts="#STS";return Qr(a.url,a.sp,a.s)};
var No,Qr,Rs,Kl;
})(_yt_player);
"##;

const MODERN: &str = r##"'use strict';
((g, world) => {
const #TABLE alphabet = '#ALPHABET', mark = n => `Nw_${`a${'X'}`}-_w8_${n}`
const ops = {swap(a, b) { [a[0], a[b % a.length]] = [a[b % a.length], a[0]] }, turn: a => a.reverse(), cut: (a, b) => a.splice(0, b)}
let decipher = s => {
  const a = [...s]
  ops.swap(a, #SWAP)
  ops.turn(a)
  ops.cut(a, #CUT)
  ops.swap(a, #SWAP + 13)
  return a.join('')
}
const scramble = n => {
  try {
    let before = #SHIFT
    const a = n.split('').map((sign, index) => alphabet[before = (alphabet.indexOf(sign) + before + index) % alphabet.length])
    ops.turn(a)
    ops.cut(a, 2)
    return a.join('')
  } catch { return mark(n) }
}
class Base {
  #secret = 1
  get secret() { return this.#secret }
}
class Link extends Base {
  constructor(url, whole = false) { super(); this.url = url; this.of = new Map() }
  set(name, value) { this.of.set(name, value) }
  get(name) { return this.of.get(name) ?? null }
  clone() { return new Link(this.url) }
  toText() {
    const n = this.of.get('n')
    if (n) this.of.set('n', scramble(n))
    return this.url
  }
}
const settings = {"signatureTimestamp": #STS}
function door(url, name = '', s = '') {
  const link = new Link(url, true)
  link.set("alr", "yes")
  if (s) link.set(name, encodeURIComponent(decipher(decodeURIComponent(s))))
  return link
}
g.door = door
world.document.title
})(this._yt_player = this._yt_player || {}, this)
"##;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_script_is_written() {
        for dialect in Dialect::ALL {
            let text = PlayerScript { dialect, seed: 7 }.text();
            assert!(
                !text.contains('§') && !text.contains("#S") && !text.contains("#C"),
                "{dialect:?}: {text}"
            );
        }
    }
}
