// Decodes a profile with the npm package pprof-format and follows every reference in it.
//
//     node pprof_format.cjs FILE.pb.gz BYTES
//
// Ends with an error if something is not there, or if the values have another sum than expected.
const fs = require('fs');
const zlib = require('zlib');
const { Profile } = require('pprof-format');

const [file, expected] = process.argv.slice(2);

function check(condition, message) {
  if (!condition) {
    throw new Error(message);
  }
}

function byId(rows) {
  return new Map(rows.map((row) => [BigInt(row.id), row]));
}

function totalOf(profile) {
  const text = (index) => profile.stringTable.strings[Number(index)];
  const types = profile.sampleType.map((type) => `${text(type.type)}/${text(type.unit)}`);
  check(types.join() === 'inuse_objects/count,inuse_space/bytes', `types ${types}`);
  check(text(profile.defaultSampleType) === 'inuse_space', 'the default type');
  const locations = byId(profile.location);
  const functions = byId(profile.function);
  const mappings = byId(profile.mapping);
  let total = 0n;
  for (const sample of profile.sample) {
    check(sample.locationId.length > 0, 'a sample without a stack');
    for (const id of sample.locationId) {
      const location = locations.get(BigInt(id));
      check(location && location.line.length > 0, `location ${id}`);
      const mapping = BigInt(location.mappingId);
      check(mapping === 0n || mappings.has(mapping), `mapping ${mapping}`);
      for (const line of location.line) {
        const called = functions.get(BigInt(line.functionId));
        check(called && text(called.name), `function ${line.functionId}`);
      }
    }
    total += BigInt(sample.value[1]);
  }
  return total;
}

try {
  const total = totalOf(Profile.decode(zlib.gunzipSync(fs.readFileSync(file))));
  check(total === BigInt(expected), `${total} bytes, expected ${expected}`);
  console.log(`${total} bytes`);
} catch (error) {
  console.error(`rejected: ${error.message}`);
  process.exit(1);
}
