-- The catalog with schema 6: that of schema 5, with a queue that knows what was removed, and sums of sizes in bounds.
-- The ready song's size and hash are those of a line of text, which stands for its audio.
BEGIN;
CREATE TABLE human_names (
    name TEXT NOT NULL,                 -- File_Name as given out
    canonical TEXT NOT NULL,
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    rendition TEXT NOT NULL,
    PRIMARY KEY (name, canonical)
) WITHOUT ROWID;
INSERT INTO "human_names" VALUES('Lab Artist - Half Duplex no. 1.m4a','soundcloud-2150000018.m4a','soundcloud','2150000018','m4a');
INSERT INTO "human_names" VALUES('Lab Artist - Ordinary days.m4a','soundcloud-2150900001.m4a','soundcloud','2150900001','m4a');
INSERT INTO "human_names" VALUES('Lab Channel - Only Opus Here.ogg','youtube-LabDemo003I.ogg','youtube','LabDemo003I','ogg');
INSERT INTO "human_names" VALUES('Mac Layer - Divide by One.mp3','bandcamp-3400000030.mp3','bandcamp','3400000030','mp3');
INSERT INTO "human_names" VALUES('Teabyte - Just for the Packet.mp3','bandcamp-3400900001.mp3','bandcamp','3400900001','mp3');
INSERT INTO "human_names" VALUES('Teabyte - Just for the Packet.mp3','bandcamp-3400900001.original-tagged.r.mp3','bandcamp','3400900001','original-tagged.r');
INSERT INTO "human_names" VALUES('The Proxies - Copper Kettles.m4a','youtube-LabDemo001A.m4a','youtube','LabDemo001A','m4a');
CREATE TABLE memory (
    key TEXT PRIMARY KEY,               -- what the origin keeps between resolves
    value TEXT NOT NULL,
    stored_unix INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "memory" VALUES('soundcloud.client_id','LabClientIdOfOldTimes',1795000000);
CREATE TABLE names (
    name TEXT PRIMARY KEY,              -- {site}-{id}.{ext} as given out, for ever
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    rendition TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "names" VALUES('bandcamp-3400000030.mp3','bandcamp','3400000030','mp3');
INSERT INTO "names" VALUES('bandcamp-3400900001.mp3','bandcamp','3400900001','mp3');
INSERT INTO "names" VALUES('bandcamp-3400900001.original-tagged.r.mp3','bandcamp','3400900001','original-tagged.r');
INSERT INTO "names" VALUES('soundcloud-2150000018.m4a','soundcloud','2150000018','m4a');
INSERT INTO "names" VALUES('soundcloud-2150900001.m4a','soundcloud','2150900001','m4a');
INSERT INTO "names" VALUES('youtube-LabDemo001A.m4a','youtube','LabDemo001A','m4a');
INSERT INTO "names" VALUES('youtube-LabDemo003I.ogg','youtube','LabDemo003I','ogg');
CREATE TABLE renditions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    rendition TEXT NOT NULL,            -- Key::slug
    state TEXT NOT NULL,
    ext TEXT NOT NULL,                  -- what is expected; once ready: what arrived
    size INTEGER,
    total INTEGER,
    sha256 TEXT,
    mtime_ns INTEGER,                   -- of the published file, to notice changes made by others
    etag TEXT,
    validator TEXT,
    stream TEXT,
    container TEXT,
    codec TEXT,
    bitrate_bps INTEGER,
    duration_ms INTEGER,
    accepted_at INTEGER NOT NULL,
    published_at INTEGER,
    last_read INTEGER,
    failure_kind TEXT,
    failure_sentence TEXT,
    failure_retryable INTEGER,
    failed_at INTEGER,
    requester TEXT NOT NULL,
    queue_order INTEGER NOT NULL,
    accept TEXT NOT NULL,               -- kmds_extract::choose::Accept as JSON
    canonical_name TEXT NOT NULL,
    human_name TEXT NOT NULL,
    UNIQUE (site, id, rendition)
);
INSERT INTO "renditions" VALUES(1,'youtube','LabDemo001A','m4a','ready','m4a',20,20,'1206cf9f9ef0435d81c2c61646996581a294cc4f19eaa6b4e4aaf4c283ad5564',1795568145943090070,'"p3s49alqctaJ949Floo_2Q"','140/3036736/1724100171817764/','itag 140','mp4','aac',129711,187292,1795568145827,1795568146014,1795568150456,NULL,NULL,NULL,NULL,'1',1,'["m4a","mp3","ogg"]','youtube-LabDemo001A.m4a','The Proxies - Copper Kettles.m4a');
INSERT INTO "renditions" VALUES(3,'youtube','LabDemo003I','ogg','failed','ogg',NULL,1255829,NULL,NULL,NULL,NULL,'itag 251',NULL,NULL,NULL,NULL,1795568145880,NULL,NULL,'conversion_unavailable','ffmpeg is not there',1,1795568146880,'3',0,'["m4a","mp3","ogg"]','youtube-LabDemo003I.ogg','Lab Channel - Only Opus Here.ogg');
INSERT INTO "renditions" VALUES(17,'soundcloud','2150900001','m4a','downloading','m4a',NULL,1998981,NULL,NULL,NULL,NULL,'aac_160k hls',NULL,NULL,NULL,NULL,1795568146124,NULL,NULL,NULL,NULL,NULL,NULL,'5',16,'["m4a","mp3","ogg"]','soundcloud-2150900001.m4a','Lab Artist - Ordinary days.m4a');
INSERT INTO "renditions" VALUES(19,'soundcloud','2150000018','m4a','queued','m4a',NULL,687149,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795568146367,NULL,NULL,NULL,NULL,NULL,NULL,'6',17,'["m4a","mp3","ogg"]','soundcloud-2150000018.m4a','Lab Artist - Half Duplex no. 1.m4a');
INSERT INTO "renditions" VALUES(31,'bandcamp','3400000030','mp3','deleted','mp3',935068,935068,'944750ef0824780a4bc1cee667b773730cb7e2ab040f663fc7c4e4f975f3160c',1795568146715704544,'"fIVHLNDW6dDq_KVCR5VfOA"','bandcamp 3400000030 mp3-128','mp3-128','mp3','mp3',128070,58409,1795568146412,1795568146717,NULL,NULL,NULL,NULL,NULL,'7',28,'["m4a","mp3","ogg"]','bandcamp-3400000030.mp3','Mac Layer - Divide by One.mp3');
INSERT INTO "renditions" VALUES(45,'bandcamp','3400900001','mp3','evicted','mp3',1997521,1997521,'c2471645d084597216280f2ef94bba7d85d6e8ff15e577f25d4f7bdf04ab5856',1795568147691926633,'"kfaUVFfuoc9z_jOdmVSaAA"','bandcamp 3400900001 mp3-128','mp3-128','mp3','mp3',128033,124813,1795568147439,1795568147703,1795568158860,NULL,NULL,NULL,NULL,'8',29,'["m4a","mp3","ogg"]','bandcamp-3400900001.mp3','Teabyte - Just for the Packet.mp3');
INSERT INTO "renditions" VALUES(59,'bandcamp','3400900001','original-tagged.r','ready','mp3',2002776,2002776,'647a8dddcae6a127d4327d1c032fbd5b859e72c3e058872c56e0c4402874c1c2',1795568158921795703,'"5K10ImxcOuqqRZFx2cZ_4A"','"kfaUVFfuoc9z_jOdmVSaAA" as original-tagged','original-tagged of mp3-128','mp3','mp3',128370,124813,1795568158853,1795568158925,1795568158927,NULL,NULL,NULL,NULL,'0',-1,'["m4a","mp3","ogg"]','bandcamp-3400900001.original-tagged.r.mp3','Teabyte - Just for the Packet.mp3');
CREATE TABLE tracks (
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    metadata TEXT NOT NULL,             -- kmds_extract::Track as JSON, as last seen anywhere
    alone TEXT,                         -- the same, as last seen when the song was asked for alone
    alone_at INTEGER,
    words TEXT NOT NULL,                -- title, artist and album in lower case, to search in
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (site, id)
) WITHOUT ROWID;
INSERT INTO "tracks" VALUES('bandcamp','3400000030','{"id":{"site":"bandcamp","id":"3400000030"},"source":{"site":"bandcamp","page":"https://mac-layer.bandcamp.com/album/coming-of-port-2800000026","track_id":3400000030,"band_id":7},"link":"https://mac-layer.bandcamp.com/track/divide-by-one-3400000030","title":"Divide by One","artist":"Mac Layer","album":"Coming of Port","album_artist":"Mac Layer","number":4,"total":4,"duration":{"secs":58,"nanos":400000000},"cover_url":"https://f4.bcbits.com/img/a2800000026_10.jpg","date":"2019-11-01","withheld":null}',NULL,NULL,'divide by one mac layer coming of port',1795568146412);
INSERT INTO "tracks" VALUES('bandcamp','3400900001','{"id":{"site":"bandcamp","id":"3400900001"},"source":{"site":"bandcamp","page":"https://teabyte.bandcamp.com/track/just-for-the-packet-3400900001","track_id":3400900001,"band_id":7},"link":"https://teabyte.bandcamp.com/track/just-for-the-packet-3400900001","title":"Just for the Packet","artist":"Teabyte","album":null,"album_artist":null,"number":null,"total":null,"duration":{"secs":124,"nanos":800000000},"cover_url":"https://f4.bcbits.com/img/a3400900001_10.jpg","date":"2019-03-10","withheld":null}','{"id":{"site":"bandcamp","id":"3400900001"},"source":{"site":"bandcamp","page":"https://teabyte.bandcamp.com/track/just-for-the-packet-3400900001","track_id":3400900001,"band_id":7},"link":"https://teabyte.bandcamp.com/track/just-for-the-packet-3400900001","title":"Just for the Packet","artist":"Teabyte","album":null,"album_artist":null,"number":null,"total":null,"duration":{"secs":124,"nanos":800000000},"cover_url":"https://f4.bcbits.com/img/a3400900001_10.jpg","date":"2019-03-10","withheld":null}',1795568147439,'just for the packet teabyte',1795568158853);
INSERT INTO "tracks" VALUES('soundcloud','2150000018','{"id":{"site":"soundcloud","id":"2150000018"},"source":{"site":"soundcloud","id":2150000018,"secret":null},"link":"https://soundcloud.com/lab-artist/set-2100000017-song-1","title":"Half Duplex no. 1","artist":"Lab Artist","album":"Half Duplex","album_artist":null,"number":1,"total":8,"duration":{"secs":48,"nanos":500000000},"cover_url":"https://i1.sndcdn.com/artworks-jOxmuKmVdnAA-lab000-t500x500.jpg","date":"2026-02-03","withheld":null}',NULL,NULL,'half duplex no. 1 lab artist half duplex',1795568146367);
INSERT INTO "tracks" VALUES('soundcloud','2150900001','{"id":{"site":"soundcloud","id":"2150900001"},"source":{"site":"soundcloud","id":2150900001,"secret":null},"link":"https://soundcloud.com/lab-artist/ordinary-days","title":"Ordinary days","artist":"Lab Artist","album":null,"album_artist":null,"number":null,"total":null,"duration":{"secs":141,"nanos":200000000},"cover_url":"https://i1.sndcdn.com/artworks-ILhMNUO9RTrh-lab000-t500x500.jpg","date":"2026-02-03","withheld":null}','{"id":{"site":"soundcloud","id":"2150900001"},"source":{"site":"soundcloud","id":2150900001,"secret":null},"link":"https://soundcloud.com/lab-artist/ordinary-days","title":"Ordinary days","artist":"Lab Artist","album":null,"album_artist":null,"number":null,"total":null,"duration":{"secs":141,"nanos":200000000},"cover_url":"https://i1.sndcdn.com/artworks-ILhMNUO9RTrh-lab000-t500x500.jpg","date":"2026-02-03","withheld":null}',1795568146124,'ordinary days lab artist',1795568146124);
INSERT INTO "tracks" VALUES('youtube','LabDemo001A','{"id":{"site":"youtube","id":"LabDemo001A"},"source":{"site":"youtube","video":"LabDemo001A"},"link":"https://www.youtube.com/watch?v=LabDemo001A","title":"Copper Kettles","artist":"The Proxies","album":null,"album_artist":null,"number":null,"total":null,"duration":{"secs":187,"nanos":300000000},"cover_url":"https://i.ytimg.com/vi/LabDemo001A/maxresdefault.jpg","date":null,"withheld":null}','{"id":{"site":"youtube","id":"LabDemo001A"},"source":{"site":"youtube","video":"LabDemo001A"},"link":"https://www.youtube.com/watch?v=LabDemo001A","title":"Copper Kettles","artist":"The Proxies","album":null,"album_artist":null,"number":null,"total":null,"duration":{"secs":187,"nanos":300000000},"cover_url":"https://i.ytimg.com/vi/LabDemo001A/maxresdefault.jpg","date":null,"withheld":null}',1795568145827,'copper kettles the proxies',1795568145827);
INSERT INTO "tracks" VALUES('youtube','LabDemo003I','{"id":{"site":"youtube","id":"LabDemo003I"},"source":{"site":"youtube","video":"LabDemo003I"},"link":"https://www.youtube.com/watch?v=LabDemo003I","title":"Only Opus Here","artist":"Lab Channel","album":null,"album_artist":null,"number":null,"total":null,"duration":{"secs":95,"nanos":0},"cover_url":"https://i.ytimg.com/vi/LabDemo003I/maxresdefault.jpg","date":null,"withheld":null}','{"id":{"site":"youtube","id":"LabDemo003I"},"source":{"site":"youtube","video":"LabDemo003I"},"link":"https://www.youtube.com/watch?v=LabDemo003I","title":"Only Opus Here","artist":"Lab Channel","album":null,"album_artist":null,"number":null,"total":null,"duration":{"secs":95,"nanos":0},"cover_url":"https://i.ytimg.com/vi/LabDemo003I/maxresdefault.jpg","date":null,"withheld":null}',1795568145880,'only opus here lab channel',1795568145880);
CREATE INDEX tracks_by_link ON tracks (json_extract(alone, '$.link'));
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('renditions',60);
CREATE TABLE holds (
    holder TEXT NOT NULL,               -- Holder::text
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    rendition TEXT NOT NULL,
    until INTEGER,                      -- NULL: until it is released
    PRIMARY KEY (holder, site, id, rendition)
) WITHOUT ROWID;
INSERT INTO "holds" VALUES('client ','youtube','LabDemo001A','m4a',1795568209999);
INSERT INTO "holds" VALUES('pin','youtube','LabDemo001A','m4a',NULL);
CREATE INDEX renditions_by_state ON renditions (state, site);  -- and seq, as every index
CREATE INDEX renditions_by_order ON renditions (queue_order);
CREATE INDEX renditions_by_use ON renditions (MAX(COALESCE(last_read, 0), COALESCE(published_at, 0))) WHERE state = 'ready';
CREATE INDEX holds_by_key ON holds (site, id, rendition);
CREATE INDEX holds_by_end ON holds (until);
CREATE TABLE sums (
    site TEXT NOT NULL,
    what TEXT NOT NULL,                 -- a state: songs with an original in it; bytes: of ready files, each once; tracks
    number INTEGER NOT NULL,
    PRIMARY KEY (site, what)
) WITHOUT ROWID;
CREATE VIEW counted AS                  -- the sums from the rows
    SELECT site, state AS what, COUNT(DISTINCT id) AS number FROM renditions
        WHERE rendition NOT LIKE '%.r' GROUP BY site, state
    UNION ALL SELECT site, 'bytes', SUM(size) FROM (
        SELECT site, MAX(0, MIN(1 << 50, MAX(COALESCE(CAST(size AS INTEGER), 0)))) AS size FROM renditions
        WHERE state = 'ready' GROUP BY site, id, ext, IIF(rendition LIKE '%.r', rendition, '')) GROUP BY site
    UNION ALL SELECT site, 'tracks', COUNT(*) FROM tracks GROUP BY site;
INSERT INTO sums SELECT site, what, number FROM counted;
CREATE VIRTUAL TABLE search USING fts5 (words, content = '', columnsize = 0, detail = none, tokenize = 'trigram case_sensitive 1');
CREATE VIRTUAL TABLE search_terms USING fts5vocab (search, row);
INSERT INTO search (rowid, words) SELECT r.seq, t.words || char(10, 10) FROM renditions r CROSS JOIN tracks t USING (site, id) ORDER BY r.seq;
CREATE TRIGGER row_comes AFTER INSERT ON renditions BEGIN
    INSERT INTO sums SELECT NEW.site, NEW.state, 1
        WHERE NEW.rendition NOT LIKE '%.r' AND NOT EXISTS (SELECT 1 FROM renditions
            WHERE site = NEW.site AND id = NEW.id AND +state = NEW.state AND seq <> NEW.seq AND rendition NOT LIKE '%.r')
        ON CONFLICT DO UPDATE SET number = number + excluded.number;
    INSERT INTO sums SELECT NEW.site, 'bytes', MAX(0, MAX(0, MIN(1 << 50, COALESCE(CAST(NEW.size AS INTEGER), 0))) - (SELECT COALESCE(MAX(MAX(0, MIN(1 << 50, COALESCE(CAST(size AS INTEGER), 0)))), 0) FROM renditions
            WHERE site = NEW.site AND id = NEW.id AND +state = 'ready' AND seq <> NEW.seq AND ext = NEW.ext
            AND IIF(rendition LIKE '%.r', rendition, '') = IIF(NEW.rendition LIKE '%.r', NEW.rendition, '')))
        WHERE NEW.state = 'ready'
        ON CONFLICT DO UPDATE SET number = number + excluded.number;

    INSERT INTO search (rowid, words) SELECT NEW.seq, words || char(10, 10) FROM tracks WHERE site = NEW.site AND id = NEW.id;
END;
CREATE TRIGGER row_changes AFTER UPDATE OF state, ext, size ON renditions
WHEN OLD.state IS NOT NEW.state OR OLD.ext IS NOT NEW.ext OR OLD.size IS NOT NEW.size BEGIN
    INSERT INTO sums SELECT OLD.site, OLD.state, -1
        WHERE OLD.rendition NOT LIKE '%.r' AND NOT EXISTS (SELECT 1 FROM renditions
            WHERE site = OLD.site AND id = OLD.id AND +state = OLD.state AND seq <> OLD.seq AND rendition NOT LIKE '%.r')
        ON CONFLICT DO UPDATE SET number = number + excluded.number;
    INSERT INTO sums SELECT OLD.site, 'bytes', -MAX(0, MAX(0, MIN(1 << 50, COALESCE(CAST(OLD.size AS INTEGER), 0))) - (SELECT COALESCE(MAX(MAX(0, MIN(1 << 50, COALESCE(CAST(size AS INTEGER), 0)))), 0) FROM renditions
            WHERE site = OLD.site AND id = OLD.id AND +state = 'ready' AND seq <> OLD.seq AND ext = OLD.ext
            AND IIF(rendition LIKE '%.r', rendition, '') = IIF(OLD.rendition LIKE '%.r', OLD.rendition, '')))
        WHERE OLD.state = 'ready'
        ON CONFLICT DO UPDATE SET number = number + excluded.number;

    INSERT INTO sums SELECT NEW.site, NEW.state, 1
        WHERE NEW.rendition NOT LIKE '%.r' AND NOT EXISTS (SELECT 1 FROM renditions
            WHERE site = NEW.site AND id = NEW.id AND +state = NEW.state AND seq <> NEW.seq AND rendition NOT LIKE '%.r')
        ON CONFLICT DO UPDATE SET number = number + excluded.number;
    INSERT INTO sums SELECT NEW.site, 'bytes', MAX(0, MAX(0, MIN(1 << 50, COALESCE(CAST(NEW.size AS INTEGER), 0))) - (SELECT COALESCE(MAX(MAX(0, MIN(1 << 50, COALESCE(CAST(size AS INTEGER), 0)))), 0) FROM renditions
            WHERE site = NEW.site AND id = NEW.id AND +state = 'ready' AND seq <> NEW.seq AND ext = NEW.ext
            AND IIF(rendition LIKE '%.r', rendition, '') = IIF(NEW.rendition LIKE '%.r', NEW.rendition, '')))
        WHERE NEW.state = 'ready'
        ON CONFLICT DO UPDATE SET number = number + excluded.number;

END;
CREATE TRIGGER row_goes AFTER DELETE ON renditions BEGIN
    INSERT INTO sums SELECT OLD.site, OLD.state, -1
        WHERE OLD.rendition NOT LIKE '%.r' AND NOT EXISTS (SELECT 1 FROM renditions
            WHERE site = OLD.site AND id = OLD.id AND +state = OLD.state AND seq <> OLD.seq AND rendition NOT LIKE '%.r')
        ON CONFLICT DO UPDATE SET number = number + excluded.number;
    INSERT INTO sums SELECT OLD.site, 'bytes', -MAX(0, MAX(0, MIN(1 << 50, COALESCE(CAST(OLD.size AS INTEGER), 0))) - (SELECT COALESCE(MAX(MAX(0, MIN(1 << 50, COALESCE(CAST(size AS INTEGER), 0)))), 0) FROM renditions
            WHERE site = OLD.site AND id = OLD.id AND +state = 'ready' AND seq <> OLD.seq AND ext = OLD.ext
            AND IIF(rendition LIKE '%.r', rendition, '') = IIF(OLD.rendition LIKE '%.r', OLD.rendition, '')))
        WHERE OLD.state = 'ready'
        ON CONFLICT DO UPDATE SET number = number + excluded.number;

    INSERT INTO search (search, rowid, words)
        SELECT 'delete', OLD.seq, words || char(10, 10) FROM tracks WHERE site = OLD.site AND id = OLD.id;
END;
CREATE TRIGGER track_comes AFTER INSERT ON tracks BEGIN
    INSERT INTO sums VALUES (NEW.site, 'tracks', 1) ON CONFLICT DO UPDATE SET number = number + 1;
    INSERT INTO search (rowid, words)
        SELECT seq, NEW.words || char(10, 10) FROM renditions WHERE site = NEW.site AND id = NEW.id;
END;
CREATE TRIGGER track_changes AFTER UPDATE OF words ON tracks WHEN OLD.words IS NOT NEW.words BEGIN
    INSERT INTO search (search, rowid, words)
        SELECT 'delete', seq, OLD.words || char(10, 10) FROM renditions WHERE site = OLD.site AND id = OLD.id;
    INSERT INTO search (rowid, words)
        SELECT seq, NEW.words || char(10, 10) FROM renditions WHERE site = NEW.site AND id = NEW.id;
END;
CREATE TRIGGER track_goes AFTER DELETE ON tracks BEGIN
    UPDATE sums SET number = number - 1 WHERE site = OLD.site AND what = 'tracks';
    INSERT INTO search (search, rowid, words)
        SELECT 'delete', seq, OLD.words || char(10, 10) FROM renditions WHERE site = OLD.site AND id = OLD.id;
END;
CREATE TABLE lists (                    -- a row for each fetch of a list, of the newest
    site TEXT NOT NULL,
    id TEXT NOT NULL,                   -- the site's id of the list
    requester TEXT NOT NULL,            -- of its songs' renditions
    asked TEXT NOT NULL,                -- the link that was asked for, in its one form
    link TEXT NOT NULL,                 -- the list's own link in its one form
    fetched_at INTEGER NOT NULL,
    PRIMARY KEY (site, id, requester)
) WITHOUT ROWID;
CREATE INDEX lists_by_time ON lists (fetched_at);
INSERT INTO "lists" VALUES('youtube','PLlab','1','https://www.youtube.com/playlist?list=PLlab','https://www.youtube.com/playlist?list=PLlab',1795568146367);
CREATE TABLE queues (
    name TEXT PRIMARY KEY,              -- of the client's choice
    requester INTEGER NOT NULL,         -- of its songs' renditions
    ahead INTEGER NOT NULL,             -- songs that are made ready before they are played
    accept TEXT,                        -- kmds_extract::choose::Accept as JSON; NULL: as a song was asked for last
    begun INTEGER NOT NULL,             -- songs that were begun
    songs INTEGER NOT NULL,
    until INTEGER NOT NULL
, written INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE queue_songs (
    queue TEXT NOT NULL,
    place INTEGER NOT NULL,             -- from 0
    song TEXT NOT NULL,                 -- as it was sent: a link, or site/id
    PRIMARY KEY (queue, place)
) WITHOUT ROWID;
INSERT INTO "queues" VALUES('guild-1',1850000000000000,3,NULL,1,2,1795571746367,29);
INSERT INTO "queue_songs" VALUES('guild-1',0,'youtube/LabDemo001A');
INSERT INTO "queue_songs" VALUES('guild-1',1,'https://soundcloud.com/lab/song');
PRAGMA user_version = 6;
COMMIT;
