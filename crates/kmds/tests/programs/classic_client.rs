//! The request sequence of the classic service's showcase client, unmodified.

use crate::harness::Kmds;
use crate::{python, skipped};
use kmds_lab::Lab;

/// Exactly the calls of such clients: a body that is encoded twice, asking for the file until it is not 418, and saving
/// the answer under the name in the reply.
const CLIENT: &str = r#"
import json, os, sys, time, urllib.request, urllib.error
server, link, folder = sys.argv[1:4]

def post(url, **arguments):
    # As the requests library does with json=: the argument is encoded, though it is encoded already.
    body = json.dumps(arguments["json"]).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))

reply = post(server + "/fetch", json=json.dumps({"URL": link}))
assert reply["Status"] == 200, reply
waits = 0
for song in reply["Songs"]:
    assert "Title" in song["Metadata"] and "Artist" in song["Metadata"]
    while True:
        try:
            answer = urllib.request.urlopen(server + song["Tunnel_URL"])
        except urllib.error.HTTPError as error:
            assert error.code == 418, error.code
            waits += 1
            print("waiting", flush=True)
            time.sleep(0.1)
            continue
        with open(os.path.join(folder, song["File_Name"]), "wb") as file:
            file.write(answer.read())
        break
print("done after", waits)
"#;

#[tokio::test]
async fn the_showcase_client_of_the_classic_service_saves_every_song() {
    let Some(python) = python() else {
        return skipped("the classic client", "there is no python3");
    };
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("ordinary-days")
        .title("Ordinary / Days")
        .holds_at(20_000)
        .publish();
    let kmds = Kmds::start(&lab);
    let mut client = tokio::process::Command::new(python);
    client
        .args(["-c", CLIENT, &kmds.url, &song.link()])
        .arg(&kmds.folder.0)
        .env_remove("http_proxy");
    let mut client = client
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python");
    let mut out = client.stdout.take().expect("piped");
    let mut first = [0; 8];
    tokio::io::AsyncReadExt::read_exact(&mut out, &mut first)
        .await
        .expect("it waits for the song");
    song.release();
    assert!(client.wait().await.expect("it ends").success());
    let saved: Vec<_> = std::fs::read_dir(&kmds.folder.0)
        .expect("the folder")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|ext| ext == "m4a" || ext == "mp3")
        })
        .collect();
    assert_eq!(saved.len(), 1, "{saved:?}");
    let name = saved[0]
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    assert!(name.contains("Ordinary") && name.contains("Days"), "{name}");
    assert_eq!(std::fs::read(&saved[0]).expect("saved"), song.bytes());
}
