// A subscriber that knows the topics' contract and nothing of fswire's code: it rebuilds the tree of one project.
//
// It reads fswire.files to its end, then follows fswire.donutwork from there, and prints every path that is left
// with its sha256, as one JSON object.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// src is the place in the raw topic that a record was made from: offset, event, record.
type src [3]int64

func parseSrc(text string) src {
	var place src
	for index, number := range strings.Split(text, ".") {
		place[index], _ = strconv.ParseInt(number, 10, 64)
	}
	return place
}

func (one src) above(other src) bool {
	for index := range one {
		if one[index] != other[index] {
			return one[index] > other[index]
		}
	}
	return false
}

// partitionOf is Kafka's default partitioner: murmur2 of the key.
func partitionOf(key []byte, partitions int) int32 {
	const m = 0x5bd1e995
	hash := uint32(0x9747b28c) ^ uint32(len(key))
	rest := key
	for ; len(rest) >= 4; rest = rest[4:] {
		k := uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16 | uint32(rest[3])<<24
		k *= m
		k ^= k >> 24
		k *= m
		hash = hash*m ^ k
	}
	switch len(rest) {
	case 3:
		hash ^= uint32(rest[2]) << 16
		fallthrough
	case 2:
		hash ^= uint32(rest[1]) << 8
		fallthrough
	case 1:
		hash ^= uint32(rest[0])
		hash *= m
	}
	hash ^= hash >> 13
	hash *= m
	hash ^= hash >> 15
	return int32((hash & 0x7fffffff) % uint32(partitions))
}

// readAll hands over every record that a partition holds now, in order.
func readAll(ctx context.Context, servers, topic string, partition int32, take func(*kgo.Record)) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(servers),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		log.Fatal(err)
	}
	end, _ := ends.Lookup(topic, partition)
	for next := int64(0); next < end.Offset; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			log.Fatal(err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			next = record.Offset + 1
			take(record)
		})
	}
}

func srcOf(record *kgo.Record) src {
	for _, header := range record.Headers {
		if header.Key == "src" {
			return parseSrc(string(header.Value))
		}
	}
	log.Fatalf("no src at offset %d", record.Offset)
	return src{}
}

type event struct {
	Event, Filename, RenamedTo, Moved, Sha256 string
}

// tree holds paths by name; a directory's entries begin with its path and a slash.
type tree map[string]string

func (t tree) drop(path string) {
	delete(t, path)
	for each := range t {
		if strings.HasPrefix(each, path+"/") {
			delete(t, each)
		}
	}
}

func (t tree) rename(path, to string) {
	moved := tree{to: t[path]}
	for each, sha256 := range t {
		if strings.HasPrefix(each, path+"/") {
			moved[to+strings.TrimPrefix(each, path)] = sha256
		}
	}
	t.drop(path)
	for each, sha256 := range moved {
		t[each] = sha256
	}
}

func (t tree) apply(told event) {
	switch {
	case told.Event == "deleted" || told.Moved == "out":
		t.drop(told.Filename)
	case told.Moved == "within":
		t.rename(told.Filename, told.RenamedTo)
		if told.Sha256 != "" {
			t[told.RenamedTo] = told.Sha256
		}
	case told.Event == "created" || told.Event == "modified" || told.Event == "written":
		if told.Sha256 != "" || t[told.Filename] == "" {
			t[told.Filename] = told.Sha256
		}
	}
}

func main() {
	servers, prefix, project := os.Args[1], os.Args[2], os.Args[3]
	partitions, _ := strconv.Atoi(os.Args[4])
	partition := partitionOf([]byte(project), partitions)
	ctx := context.Background()
	known, seen := tree{}, src{-1}

	readAll(ctx, servers, prefix+"files", partition, func(record *kgo.Record) {
		if place := srcOf(record); place.above(seen) {
			seen = place
		}
		owner, path, _ := bytes.Cut(record.Key, []byte{0})
		if string(owner) != project {
			return
		}
		if record.Value == nil {
			delete(known, string(path))
			return
		}
		var file struct{ Sha256 string }
		if err := json.Unmarshal(record.Value, &file); err != nil {
			log.Fatal(err)
		}
		known[string(path)] = file.Sha256
	})
	if len(os.Args) > 5 { // the test lets something happen in between
		fmt.Println("read")
		_, _ = fmt.Scanln()
	}
	readAll(ctx, servers, prefix+"donutwork", partition, func(record *kgo.Record) {
		place := srcOf(record)
		if !place.above(seen) {
			return
		}
		seen = place
		if string(record.Key) != project {
			return
		}
		var told event
		if err := json.Unmarshal(record.Value, &told); err != nil {
			log.Fatal(err)
		}
		known.apply(told)
	})
	if err := json.NewEncoder(os.Stdout).Encode(known); err != nil {
		log.Fatal(err)
	}
}
