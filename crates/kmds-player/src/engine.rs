//! The embedded engine, within bounds.
//!
//! Owns one run of a program: its memory, stack and time, and the record of names that the program used and did not
//! have. It trusts no value: the result is a text, or a fault.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use rquickjs::function::{Args, Func};
use rquickjs::{Context, Ctx, Error, Function, Object, Runtime, Value};

/// The limits of one run.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// For the engine; the text of the script and the data about it come on top: at most some ten times its length.
    pub memory_bytes: usize,
    /// The end of the run, by `clock`.
    pub until: Duration,
    /// Processor time is fairer: a busy machine is not an endless loop.
    pub clock: fn() -> Duration,
}

impl Bounds {
    pub(crate) fn over(&self) -> bool {
        (self.clock)() >= self.until
    }
}

/// Far more than any script of the site needs, and far less than the stack of a thread.
const STACK_BYTES: usize = 512 << 10;

/// Why there is no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    Time,
    Memory,
    /// In the script's own words: not trusted, and cut short.
    Threw(String),
    /// Not a text.
    Odd,
}

/// A program: an expression whose value is a function of the script's own object, which gives an object of functions.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Program {
    #[serde(skip)]
    pub text: String,
    /// Names that are left out, of the outermost scope and of the script's own object: using one is reported.
    pub left_out: Vec<String>,
    pub left_out_members: Vec<String>,
}

/// The objects that a program finds instead of a browser. None of them does anything.
const BROWSER: &str = r#"(function(world, left_out, members, object, missed) {
    var define = Object.defineProperty;
    world.window = world.self = world;
    world.document = {};
    world.navigator = { userAgent: "" };
    world.console = { log: function() {}, warn: function() {}, error: function() {} };
    world.XMLHttpRequest = function() {};
    world.location = { protocol: "https:", host: "www.youtube.com", hostname: "www.youtube.com", port: "", pathname: "/",
        search: "", hash: "", origin: "https://www.youtube.com", href: "https://www.youtube.com/" };
    function trap(on, name, key) {
        define(on, name, { configurable: true, enumerable: false,
            get: function() { missed(key); throw new ReferenceError(key); },
            set: function(value) { define(on, name, { value: value, configurable: true, writable: true, enumerable: true }); } });
    }
    for (var i = 0; i < left_out.length; i++) trap(world, left_out[i], left_out[i]);
    for (var j = 0; j < members.length; j++) trap(object, members[j], "." + members[j]);
})"#;

/// Runs `program`, passes its functions to `with`, and returns the names that it missed: `name`, or `.name` of its own
/// object.
pub fn run<T>(
    bounds: Bounds,
    program: &Program,
    with: impl FnOnce(&Functions) -> T,
) -> (Result<T, Fault>, Vec<String>) {
    let missed = Rc::new(RefCell::new(Vec::new()));
    let done = start(bounds, program, &missed, with);
    let missed = missed.take();
    (done, missed)
}

fn start<T>(
    bounds: Bounds,
    program: &Program,
    missed: &Rc<RefCell<Vec<String>>>,
    with: impl FnOnce(&Functions) -> T,
) -> Result<T, Fault> {
    let late = Rc::new(Cell::new(false));
    let runtime = Runtime::new().map_err(|_| Fault::Memory)?;
    runtime.set_memory_limit(bounds.memory_bytes);
    runtime.set_max_stack_size(STACK_BYTES);
    let (noticed, lacks) = (late.clone(), missed.clone());
    runtime.set_interrupt_handler(Some(Box::new(move || {
        noticed.set(noticed.get() || bounds.over());
        // A loop that retries until nothing fails would never end without the missing names.
        noticed.get() || lacks.try_borrow().is_ok_and(|missed| !missed.is_empty())
    })));
    let context = Context::full(&runtime).map_err(|_| Fault::Memory)?;
    context.with(|ctx| {
        let functions =
            load(&ctx, program, missed.clone()).map_err(|error| fault(&ctx, &error, &late))?;
        Ok(with(&Functions {
            ctx: ctx.clone(),
            functions,
            late,
        }))
    })
}

fn load<'js>(
    ctx: &Ctx<'js>,
    program: &Program,
    missed: Rc<RefCell<Vec<String>>>,
) -> Result<Object<'js>, Error> {
    let world = ctx.globals();
    let object = Object::new(ctx.clone())?;
    object.set_prototype(Some(&world))?;
    let told = Func::from(move |key: String| missed.borrow_mut().push(key));
    let browser: Function = ctx.eval(BROWSER)?;
    browser.call::<_, ()>((
        world.clone(),
        program.left_out.clone(),
        program.left_out_members.clone(),
        object.clone(),
        told,
    ))?;
    let wrapper: Function = ctx.eval(program.text.as_str())?;
    let mut args = Args::new(ctx.clone(), 1);
    args.this(world)?;
    args.push_arg(object)?;
    wrapper.call_arg(args)
}

/// The functions that a program gave.
pub struct Functions<'js> {
    ctx: Ctx<'js>,
    functions: Object<'js>,
    late: Rc<Cell<bool>>,
}

impl Functions<'_> {
    /// Calls `name` with `text`.
    pub fn call(&self, name: &str, text: &str) -> Result<String, Fault> {
        let called = self
            .functions
            .get::<_, Function>(name)
            .and_then(|function| function.call::<_, Value>((text,)));
        let value = called.map_err(|error| fault(&self.ctx, &error, &self.late))?;
        let text = value.as_string().ok_or(Fault::Odd)?;
        text.to_string().map_err(|_| Fault::Odd)
    }
}

fn fault(ctx: &Ctx, error: &Error, late: &Cell<bool>) -> Fault {
    // The exception must be taken from the engine in any case.
    let thrown = if error.is_exception() {
        Some(ctx.catch())
    } else {
        None
    };
    if late.get() {
        return Fault::Time;
    }
    let message = thrown
        .as_ref()
        .and_then(|thrown| thrown.as_exception())
        .and_then(|exception| exception.message());
    match message {
        Some(message) if message == "out of memory" => Fault::Memory,
        Some(message) => Fault::Threw(
            message
                .chars()
                .filter(|c| !c.is_control())
                .take(100)
                .collect(),
        ),
        None => Fault::Odd,
    }
}
