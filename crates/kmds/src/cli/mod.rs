//! The commands: their arguments, what they print, their exit codes.
//!
//! Each command is a file of its own. `out` writes all lines, `term` lays them out, `server` is the client of a running
//! server. The work itself is done by `app`.
//!
//! Exit codes: 0 done · 1 some songs failed, or a check found something · 2 the call or a setting cannot be used ·
//! 130 interrupted.

mod cache;
mod cancel;
mod doctor;
mod get;
mod out;
mod progress;
mod resolve;
mod search;
mod serve;
mod server;
mod showcase;
mod solve_player;
mod status;
mod term;
mod token;
mod ytdlp;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

use crate::config::{self, Config, RawConfig, Sources, ignored};
use crate::recipes;

#[derive(Debug, Parser)]
#[command(
    name = "kmds",
    version,
    about = "Downloads songs from YouTube, SoundCloud and Bandcamp: metadata at once, then the whole audio file.",
    after_help = "Start with `kmds serve`, then: curl 'http://127.0.0.1:60071/fetch?url=LINK'\n\
                  Or without a server: kmds get LINK\n\
                  Settings: `kmds config example` prints all of them. Logs: KMDS_LOG=debug, KMDS_LOG_FORMAT=json.\n\
                  Commands ask the server in KMDS_SERVER, with the token in KMDS_TOKEN; --server names another."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, Default, Args)]
struct SettingFlags {
    /// Settings file (TOML; the classic service's Root_CFG.json is read too)
    #[arg(long, global = true, value_name = "FILE", value_parser = path())]
    config: Option<PathBuf>,
    /// Any setting, like --set cache.max_bytes=2GiB; wins over file and environment
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Serve(serve::ServeArgs),
    /// Download songs into a folder, with tags and covers; no server needed
    Get(get::GetArgs),
    /// Print the metadata of links as JSON; nothing is downloaded
    Resolve(resolve::ResolveArgs),
    /// Search a site by words
    Search(search::SearchArgs),
    /// Stop a list on a running server: its songs that wait or download
    Cancel(cancel::CancelArgs),
    /// Print what a running server is doing
    Status(status::StatusArgs),
    /// Watch a running server live
    Top(status::TopArgs),
    /// Check folders, drive, clock, tools and outgoing connections; say how to fix each problem
    Doctor(doctor::DoctorArgs),
    /// List, check and remove cached songs
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    /// Try a running server as a client would: fetch, wait, save, check; a table at the end
    Showcase(showcase::ShowcaseArgs),
    /// Print a completion script for a shell, like: kmds completions bash > /etc/bash_completion.d/kmds
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, like: kmds man | man -l -
    Man,
    /// Print and check settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make access tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Run as yt-dlp's command line, for programs that run yt-dlp (docs/ytdlp.md)
    #[command(name = "yt-dlp", disable_help_flag = true)]
    YtDlp {
        /// yt-dlp's own: -J, -j, -g, -f, -o, --print, ytsearch5:words, …
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Check recipes: facts about the sites that change more often than KMDS
    #[command(subcommand)]
    Recipes(RecipesCommand),
    /// Solve the challenges of YouTube's player script; the service runs this command itself
    #[command(hide = true)]
    SolvePlayer(solve_player::SolvePlayerArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the settings and where each comes from
    Show,
    /// Check the settings; exit code 2 if they cannot be used
    Check,
    /// Print a commented file with every setting
    Example,
}

#[derive(Debug, Subcommand)]
enum RecipesCommand {
    /// Check a recipes file; exit code 2 if it cannot be used
    Check {
        /// The recipes file (TOML)
        #[arg(value_parser = path())]
        file: PathBuf,
    },
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(words) = ytdlp::called(std::env::args_os()) {
        return ytdlp::run(words, |more| {
            settings_in_silence(&SettingFlags::default(), more)
        });
    }
    // clap itself prints help, versions and mistakes, and exits with 2 for mistakes.
    let cli = Cli::parse();
    let code = run(cli).unwrap_or_else(|error| {
        out::problem(&error);
        ExitCode::from(2)
    });
    out::ended(code)
}

/// Reads an argument that is a path: a shell does not replace the `~` of `--config=~/kmds.toml`.
fn path() -> impl clap::builder::TypedValueParser<Value = PathBuf> {
    use clap::builder::TypedValueParser;
    clap::builder::OsStringValueParser::new().try_map(config::given_path)
}

type Problem = Box<dyn std::error::Error>;

fn run(cli: Cli) -> Result<ExitCode, Problem> {
    match cli.command {
        Command::Serve(args) => {
            let flags = args.settings()?;
            serve::serve(read(&cli.settings, flags)?.check()?)
        }
        Command::Resolve(args) => {
            let config = settings(&cli.settings, Vec::new())?;
            start_log(LevelFilter::ERROR)?;
            wait(resolve::run(args, config))
        }
        Command::Search(args) => {
            let config = settings(&cli.settings, Vec::new())?;
            start_log(LevelFilter::ERROR)?;
            wait(search::run(args, config))
        }
        Command::Cancel(args) => wait(cancel::run(args, || own_address(&cli.settings))),
        Command::Status(args) => wait(status::status(args, || own_address(&cli.settings))),
        Command::Top(args) => wait(status::top(args, || own_address(&cli.settings))),
        Command::Doctor(args) => {
            start_log(LevelFilter::OFF)?;
            let settings = read(&cli.settings, Vec::new()).and_then(|raw| Ok(raw.check()?));
            wait(doctor::run(args, settings))
        }
        Command::Cache(command) => {
            let config = settings(&cli.settings, Vec::new())?;
            start_log(LevelFilter::WARN)?;
            wait(cache::run(command, config))
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "kmds", &mut script);
            out::raw(&script);
            Ok(ExitCode::SUCCESS)
        }
        Command::Man => man(),
        Command::Get(args) => {
            let accept = args
                .accept
                .iter()
                .map(|forms| ("audio.accept".to_owned(), forms.clone()))
                .collect();
            let config = settings(&cli.settings, accept)?;
            start_log(LevelFilter::ERROR)?;
            wait(get::run(args, config))
        }
        Command::YtDlp { arguments } => {
            Ok(ytdlp::run(arguments, |more| settings(&cli.settings, more)))
        }
        Command::Showcase(args) => wait(showcase::run(args, || own_address(&cli.settings))),
        Command::SolvePlayer(args) => Ok(solve_player::run(&args)),
        Command::Token(command) => token::run(command),
        Command::Config(command) => show_config(&cli.settings, &command),
        Command::Recipes(RecipesCommand::Check { file }) => {
            // Unknown keys are warnings.
            start_log(LevelFilter::WARN)?;
            let recipes = recipes::read_file(&file)?;
            out::line(format!("{}: good, dated {}", file.display(), recipes.date));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// For commands with output for people: `KMDS_LOG` shows more.
fn start_log(level: LevelFilter) -> Result<(), Problem> {
    crate::log::start(level).map_or(Ok(()), |problem| Err(problem.into()))
}

/// Runs an asynchronous command on a runtime of its own.
fn wait(command: impl Future<Output = Result<ExitCode, Problem>>) -> Result<ExitCode, Problem> {
    let runtime = serve::runtime()?;
    let done = runtime.block_on(command);
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    done
}

/// The address that these settings make a server listen on, and its base path.
fn own_address(flags: &SettingFlags) -> Result<(String, String), Problem> {
    Ok(read(flags, Vec::new())?.address()?)
}

/// The settings of a command that does its work in this process, and a warning for every variable that is ignored.
fn settings(flags: &SettingFlags, more: Vec<(String, String)>) -> Result<Config, Problem> {
    ignored().for_each(|sentence| out::say(format!("kmds: {sentence}")));
    Ok(read(flags, more)?.check()?)
}

fn read(flags: &SettingFlags, more: Vec<(String, String)>) -> Result<RawConfig, Problem> {
    let mut all = more;
    for pair in &flags.set {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("--set {pair}: write KEY=VALUE"))?;
        all.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(RawConfig::read(&Sources::from_process(
        flags.config.clone(),
        all,
    )?)?)
}

/// The settings of a command whose caller may read both streams as one text: only the command's own output is printed.
fn settings_in_silence(
    flags: &SettingFlags,
    more: Vec<(String, String)>,
) -> Result<Config, Problem> {
    let config = read(flags, more)?.check()?;
    start_log(LevelFilter::OFF)?;
    Ok(config)
}

/// One page with every command on it: a section each.
fn man() -> Result<ExitCode, Problem> {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .manual("KMDS")
        .render(&mut page)?;
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help" && !sub.is_hide_set())
    {
        let name = format!("kmds {}", sub.get_name());
        let own = clap_mangen::Man::new(sub.clone());
        let mut section = Vec::new();
        own.render_synopsis_section(&mut section)?;
        own.render_description_section(&mut section)?;
        own.render_options_section(&mut section)?;
        if sub.has_subcommands() {
            own.render_subcommands_section(&mut section)?;
        }
        own.render_extra_section(&mut section)?;
        let section = String::from_utf8_lossy(&section).replace(".SH ", ".SS ");
        write!(page, ".SH \"{}\"\n{section}", name.to_uppercase())?;
    }
    out::raw(&page);
    Ok(ExitCode::SUCCESS)
}

fn show_config(flags: &SettingFlags, command: &ConfigCommand) -> Result<ExitCode, Problem> {
    match command {
        ConfigCommand::Example => out::raw(config::example().as_bytes()),
        ConfigCommand::Show => {
            ignored().for_each(|sentence| out::say(format!("kmds: {sentence}")));
            for (key, value, from) in read(flags, Vec::new())?.given() {
                out::line(format!("{key} = {value}    # {from}"));
            }
        }
        ConfigCommand::Check => {
            let config = settings(flags, Vec::new())?;
            crate::check(&config)?;
            if config.cluster.is_some() {
                wait(async {
                    let remark = crate::check_drive(&config).await?;
                    remark
                        .iter()
                        .for_each(|remark| out::say(format!("kmds: {remark}")));
                    Ok(ExitCode::SUCCESS)
                })?;
            }
            out::line(format!(
                "good: listens on {}, keeps songs in {}",
                config.server.listen,
                config.cache.dir.display()
            ));
            let library = config.library_dir.as_ref();
            if let Some(missing) = library.filter(|dir| !dir.is_dir()) {
                out::say(format!(
                    "kmds: library.dir {} is not there; make it, or mount its drive, before songs are put into it",
                    missing.display()
                ));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
