// The page of KMDS.
//
// Owns everything that a person sees and does. It contacts only this server, by addresses made from a song's site and
// id, relative to the page, so that a base path in front of it works. A site's text is always set as text, never read
// as markup.
"use strict";

const API = "../api/v1/";
const SITES = { youtube: "YouTube", youtube_music: "YouTube Music", soundcloud: "SoundCloud", bandcamp: "Bandcamp", other: "Other sites", copies: "Copies on request", conversions: "Conversions", relays: "From other nodes" };
/** Links that the server takes in one request. */
const LINKS_AT_ONCE = 25;
/** Rows of one list that are drawn at once. */
const ROWS = 200;
const STATS_EVERY_MS = 5000;
/** The next step for failures whose own sentence may only say what happened. */
const NEXT = {
  not_found: "Check the link in the site itself: it may be mistyped, or the song was deleted.",
  live: "Come back when the stream has ended.",
  unreleased: "Come back when it is out.",
  geo_blocked: "The site does not play it in the country of this server; look for another upload.",
  bot_check: "Wait a few minutes, then try again.",
  rate_limited: "Wait a few minutes, then try again.",
  origin_refused: "Try again in a minute.",
  origin_failed: "Try again in a minute.",
  timeout: "Try again in a minute.",
  truncated: "Try again.",
  page_changed: "Try again in a minute; if it still fails, update KMDS.",
  queue_full: "Wait until some songs are finished, then try again.",
  cluster_unavailable: "Try again in a minute.",
  disk_full: "Remove some songs below or make room on the disk, then try again.",
  conversion_unavailable: "Install ffmpeg on the server, then try again.",
  private: "KMDS can only get songs that play without signing in.",
  login_required: "KMDS can only get songs that play without signing in.",
  age_restricted: "Look for another upload of it.",
  members_only: "Look for another upload of it.",
  paid_only: "Buy it on the site, or look for another upload.",
  preview_only: "Look for another upload of it.",
  drm_only: "Look for another upload of it.",
};

const $ = (id) => document.getElementById(id);

/** An element with attributes, and children that are texts or elements. */
function make(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  setIcon(svg, name, document.createElementNS("http://www.w3.org/2000/svg", "use"));
  return svg;
}

function setIcon(svg, name, use = svg.firstChild) {
  use.setAttribute("href", `#i-${name}`);
  if (!use.parentNode) svg.append(use);
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const plural = (count, one, many = `${one}s`) => `${count.toLocaleString()} ${count === 1 ? one : many}`;

function size(bytes) {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

function clock(seconds) {
  const all = Math.round(seconds), hours = Math.floor(all / 3600), minutes = Math.floor(all / 60) % 60;
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
}

/** A link without `https://`: a host and a path, another scheme, or a search with its place. */
const BARE_LINK = /^(?:[\w-]+\.)+[a-z]{2,}\/\S+$|^\S+:\/\/\S+$|^(?:yt|ytm|sc|bc)search\d*:./i;

/** The links in a typed, pasted or shared text, each once; none if the text is only words. */
function linksIn(text) {
  const links = text.match(/https?:\/\/\S+/gi) || [];
  if (links.length) return [...new Set(links)];
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  return lines.every((line) => BARE_LINK.test(line)) ? [...new Set(lines)] : [];
}
