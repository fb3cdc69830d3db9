#!/bin/sh
# Makes the lab's audio once, by ffmpeg; the results are committed, so that other machines do not need ffmpeg for it.
#
# Each file is a few seconds of one chord with a little noise: raw frames in the plainest container
# of their codec, which the lab cuts into frames and wraps again to any length.
# The MP3 has no bit reservoir and 147 frames, three times the 49-frame cycle of its padding bits,
# so that it can be repeated without a seam and keeps 16,000 bytes a second exactly.
set -eu
cd "$(dirname "$0")"

chord='0.15*sin(2*PI*220*t)+0.12*sin(2*PI*277.18*t)+0.1*sin(2*PI*329.63*t)+0.02*(random(0)-0.5)'
echo_chord='0.15*sin(2*PI*220*t+0.4)+0.12*sin(2*PI*277.18*t)+0.1*sin(2*PI*440*t)+0.02*(random(1)-0.5)'
stereo="aevalsrc=$chord|$echo_chord"
quiet='ffmpeg -hide_banner -loglevel error -y -f lavfi'
plain='-map_metadata -1 -fflags +bitexact -flags:a +bitexact'

# YouTube 140 (129 kbit/s) and SoundCloud aac_160k; YouTube 139 and 599 (31 kbit/s and more).
$quiet -i "$stereo:s=44100:d=3" $plain -c:a aac -b:a 112k stereo-44100.aac
$quiet -i "aevalsrc=$chord:s=22050:d=3" $plain -c:a aac -b:a 20k mono-22050.aac
# YouTube 600, 249 to 251 (32 kbit/s and more); SoundCloud opus_0_0 (64 kbit/s).
$quiet -i "$stereo:s=48000:d=3" $plain -c:a libopus -b:a 22k -vbr off stereo-48000-22k.opus
$quiet -i "$stereo:s=48000:d=3" $plain -c:a libopus -b:a 60k -vbr off stereo-48000-60k.opus
# SoundCloud and Bandcamp, 128 kbit/s.
$quiet -i "$stereo:s=44100:d=4" $plain -c:a libmp3lame -b:a 128k -reservoir 0 -write_xing 0 \
    -id3v2_version 0 -write_id3v1 0 -frames:a 147 stereo-44100.mp3
# YouTube 18: one key frame, repeated by the lab.
$quiet -i "color=c=0x336699:s=64x36:d=1:r=1" -c:v libx264 -profile:v baseline -level 3.0 -pix_fmt yuv420p \
    -x264-params keyint=1:info=0 -bsf:v filter_units=remove_types=6 -frames:v 1 -f h264 picture.h264
$quiet -i "testsrc2=s=320x180:d=1:r=1" -frames:v 1 -q:v 12 -flags:v +bitexact -fflags +bitexact -update 1 cover.jpg
ls -l
