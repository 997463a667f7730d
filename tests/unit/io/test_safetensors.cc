#include "quern/safetensors.h"

#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "harness/status.h"
#include "harness/temp_dir.h"
#include "quern/files.h"

/* A file of this header and data, as bytes. */
static std::string file_bytes(const std::string &header, const std::string &data = "") {
    uint64_t length = header.size();
    std::string bytes(reinterpret_cast<const char *>(&length), sizeof length);
    return bytes + header + data;
}

/* Opens and closes a file made of bytes. */
static qn_status open_bytes(const TempDir &dir, const std::string &bytes) {
    qn_safetensors *file;
    qn_status status = qn_safetensors_open(dir.write("x.safetensors", bytes).c_str(), &file);
    EXPECT_EQ(file == nullptr, status != QN_OK);
    qn_safetensors_close(file);
    return status;
}

static std::string tensor(const std::string &name, const std::string &dtype,
                          const std::string &shape, const std::string &offsets) {
    return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
           ",\"data_offsets\":" + offsets + "}";
}

/* A file of one tensor "t". */
static std::string one(const std::string &dtype, const std::string &shape,
                       const std::string &offsets, size_t data) {
    return file_bytes("{" + tensor("t", dtype, shape, offsets) + "}", std::string(data, 'd'));
}

class Safetensors : public testing::Test {
  protected:
    ~Safetensors() override { qn_safetensors_close(file); }

    void open(const std::string &path) {
        qn_safetensors_close(file);
        ASSERT_OK(qn_safetensors_open(path.c_str(), &file));
    }
    qn_status write(const std::string &name, const std::vector<qn_named_tensor> &tensors,
                    const char *const *metadata = nullptr, uint64_t *checksum = nullptr) {
        return qn_safetensors_write((dir / name).c_str(), tensors.data(), (int)tensors.size(),
                                    metadata, checksum);
    }
    /* A file with the tensor `name`, two floats. */
    void write_simple(const std::string &path, const char *name) {
        float data[2] = {1, 2};
        ASSERT_OK(write(path, {{name, qn_tensor_1d(data, QN_F32, 2)}}));
    }

    TempDir dir;
    qn_safetensors *file = nullptr;
};

TEST_F(Safetensors, RoundTripsEveryDtypeAndRank) {
    const qn_dtype dtypes[] = {QN_F32, QN_BF16, QN_F16, QN_F64, QN_I32, QN_I64, QN_U16};
    const char *names[] = {"a.weight", "b", "c", "d", "e", "f", "g \"quoted\" é"};
    std::vector<uint8_t> data(7 * 8 * 3 * 2 * 5);
    for (size_t i = 0; i < data.size(); i++) data[i] = (uint8_t)(i * 37 + 11);
    std::vector<qn_named_tensor> tensors;
    for (int i = 0; i < 7; i++) {
        const int64_t shape[] = {3, 1, 2, 5};
        tensors.push_back({names[i], qn_tensor_make(&data[i * 240], dtypes[i], i % 5, shape)});
    }
    ASSERT_OK(write("a.safetensors", tensors));
    open(dir / "a.safetensors");
    ASSERT_EQ(qn_safetensors_count(file), 7);
    for (const qn_named_tensor &t : tensors) {
        qn_tensor found;
        ASSERT_TRUE(qn_safetensors_find(file, t.name, &found)) << t.name;
        EXPECT_EQ(found.dtype, t.tensor.dtype);
        ASSERT_EQ(found.rank, t.tensor.rank);
        for (int i = 0; i < QN_MAX_RANK; i++) {
            EXPECT_EQ(found.shape[i], t.tensor.shape[i]);
            EXPECT_EQ(found.stride[i], t.tensor.stride[i]);
        }
        size_t element = qn_dtype_size(found.dtype);
        EXPECT_EQ(memcmp(found.data, t.tensor.data, qn_tensor_numel(&found) * element), 0);
        EXPECT_EQ((uintptr_t)found.data % element, 0u) << "aligned to its elements";
    }
}

TEST_F(Safetensors, NamesAreSortedWithTheirDtypes) {
    uint16_t half[1] = {0};
    double wide[1] = {0};
    ASSERT_OK(
        write("a", {{"z", qn_tensor_1d(wide, QN_F64, 1)}, {"a", qn_tensor_1d(half, QN_BF16, 1)}}));
    open(dir / "a");
    ASSERT_EQ(qn_safetensors_count(file), 2);
    EXPECT_STREQ(qn_safetensors_name(file, 0), "a");
    EXPECT_STREQ(qn_safetensors_dtype(file, 0), "BF16");
    EXPECT_STREQ(qn_safetensors_name(file, 1), "z");
    EXPECT_STREQ(qn_safetensors_dtype(file, 1), "F64");
}

TEST_F(Safetensors, DataBeginsOn64Bytes) {
    for (const char *name : {"t", "tt", "a-longer-name", "an-even-longer-name-of-a-tensor"}) {
        write_simple("a", name);
        const std::string bytes = TempDir::read(dir / "a");
        uint64_t length;
        memcpy(&length, bytes.data(), sizeof length);
        EXPECT_EQ((8 + length) % 64, 0u);
        EXPECT_EQ(bytes[8], '{');
        EXPECT_EQ(bytes.size(), 8 + length + 8);
    }
}

TEST_F(Safetensors, EmptyTensorsAndEmptyFiles) {
    float data[1] = {4};
    const int64_t none[] = {3, 0, 2};
    ASSERT_OK(write("a", {{"none", qn_tensor_make(nullptr, QN_F32, 3, none)},
                          {"one", qn_tensor_1d(data, QN_F32, 1)},
                          {"void", qn_tensor_1d(nullptr, QN_F32, 0)}}));
    open(dir / "a");
    qn_tensor t;
    ASSERT_TRUE(qn_safetensors_find(file, "none", &t));
    EXPECT_EQ(qn_tensor_numel(&t), 0);
    EXPECT_EQ(t.shape[2], 2);
    ASSERT_TRUE(qn_safetensors_find(file, "one", &t));
    EXPECT_EQ(*(float *)t.data, 4.0f);
    ASSERT_OK(write("b", {}));
    open(dir / "b");
    EXPECT_EQ(qn_safetensors_count(file), 0);
    EXPECT_FALSE(qn_safetensors_find(file, "one", &t));
}

TEST_F(Safetensors, Metadata) {
    const char *pairs[] = {"format", "pt", "note", "a \"b\" é", NULL};
    float data[1] = {0};
    ASSERT_OK(write("a", {{"t", qn_tensor_1d(data, QN_F32, 1)}}, pairs));
    open(dir / "a");
    EXPECT_EQ(qn_safetensors_count(file), 1);
    EXPECT_STREQ(qn_safetensors_metadata(file, "format"), "pt");
    EXPECT_STREQ(qn_safetensors_metadata(file, "note"), "a \"b\" é");
    EXPECT_EQ(qn_safetensors_metadata(file, "gone"), nullptr);
    write_simple("b", "t");
    open(dir / "b");
    EXPECT_EQ(qn_safetensors_metadata(file, "format"), nullptr);
}

TEST_F(Safetensors, ChecksumIsThatOfTheFile) {
    float data[100];
    for (int i = 0; i < 100; i++) data[i] = (float)i;
    uint64_t written = 0, found = 1;
    ASSERT_OK(write("a", {{"t", qn_tensor_1d(data, QN_F32, 100)}}, nullptr, &written));
    ASSERT_OK(qn_file_checksum((dir / "a").c_str(), &found));
    EXPECT_EQ(written, found);
}

TEST_F(Safetensors, WriterRefusesWhatItCannotWrite) {
    float data[6] = {0};
    qn_tensor strided = qn_tensor_2d(data, QN_F32, 2, 2);
    strided.stride[0] = 3;
    EXPECT_ERROR(write("a", {{"t", strided}}), QN_CODE_INVALID, dir / "a", "\"t\"", "dense");
    qn_tensor t = qn_tensor_1d(data, QN_F32, 6);
    EXPECT_ERROR(write("a", {{"t", t}, {"t", t}}), QN_CODE_INVALID, "\"t\" is there twice");
    EXPECT_ERROR(write("a", {{"__metadata__", t}}), QN_CODE_INVALID, "__metadata__");
    EXPECT_ERROR(write("a", {{"\xff", t}}), QN_CODE_INVALID, "UTF-8");
    EXPECT_ERROR(write("a", {{"t", qn_tensor_1d(nullptr, QN_F32, 1)}}), QN_CODE_INVALID,
                 "has no data");
    qn_tensor negative = t;
    negative.shape[0] = -1;
    EXPECT_ERROR(write("a", {{"t", negative}}), QN_CODE_INVALID, "size -1");
    qn_tensor huge = qn_tensor_1d(data, QN_F32, INT64_MAX / 2);
    EXPECT_ERROR(write("a", {{"t", huge}}), QN_CODE_INVALID, "2^63");
    qn_tensor deep = t;
    deep.rank = 5;
    EXPECT_ERROR(write("a", {{"t", deep}}), QN_CODE_INVALID, "rank 5");
    const char *odd[] = {"key", NULL};
    EXPECT_ERROR(write("a", {{"t", t}}, odd), QN_CODE_INVALID, "\"key\" has no value");
    const char *twice[] = {"key", "1", "key", "2", NULL};
    EXPECT_ERROR(write("a", {{"t", t}}, twice), QN_CODE_INVALID, "\"key\" is there twice");
    EXPECT_FALSE(std::filesystem::exists(dir / "a")) << "all of this is checked before writing";
}

TEST_F(Safetensors, DiskErrorsNameTheFile) {
    std::vector<float> data(100000);
    qn_named_tensor t = {"t", qn_tensor_1d(data.data(), QN_F32, 100000)};
    EXPECT_ERROR(qn_safetensors_write("/dev/full", &t, 1, nullptr, nullptr), QN_CODE_IO,
                 "/dev/full: cannot write: No space left");
    EXPECT_ERROR(write("none/a", {t}), QN_CODE_IO, "none/a", "No such file");
}

TEST_F(Safetensors, OpenErrorsNameTheFile) {
    qn_safetensors *none;
    EXPECT_ERROR(qn_safetensors_open((dir / "gone").c_str(), &none), QN_CODE_IO, "gone",
                 "No such file");
    EXPECT_ERROR(qn_safetensors_open(dir.path().c_str(), &none), QN_CODE_IO, "directory");
    EXPECT_EQ(none, nullptr);
}

TEST_F(Safetensors, HeaderLengthIsCheckedAgainstTheFile) {
    EXPECT_ERROR(open_bytes(dir, ""), QN_CODE_INVALID, "x.safetensors: 0 bytes");
    EXPECT_ERROR(open_bytes(dir, "1234567"), QN_CODE_INVALID, "7 bytes");
    EXPECT_ERROR(open_bytes(dir, std::string(8, 0)), QN_CODE_INVALID, "line 1");
    EXPECT_ERROR(open_bytes(dir, std::string(8, '\xff')), QN_CODE_INVALID,
                 "header of 18446744073709551615 bytes in a file of 8");
    EXPECT_ERROR(open_bytes(dir, file_bytes("{}").substr(0, 9)), QN_CODE_INVALID,
                 "header of 2 bytes");
    uint64_t length = 100000001;
    std::string big(reinterpret_cast<char *>(&length), 8);
    std::string path = dir.write("x.safetensors", big);
    std::filesystem::resize_file(path, 100000100);
    EXPECT_ERROR(qn_safetensors_open(path.c_str(), &file), QN_CODE_INVALID, "at most 100 MB");
}

TEST_F(Safetensors, HeaderIsStrictJson) {
    EXPECT_ERROR(open_bytes(dir, file_bytes("{\"a\": }")), QN_CODE_INVALID, "x.safetensors",
                 "line 1, column 7");
    EXPECT_ERROR(open_bytes(dir, file_bytes("[]")), QN_CODE_INVALID, "expected an object");
    const std::string t = tensor("t", "F32", "[1]", "[0,4]");
    EXPECT_ERROR(open_bytes(dir, file_bytes("{" + t + "," + t + "}", "data")), QN_CODE_INVALID,
                 "duplicate");
    EXPECT_OK(open_bytes(dir, file_bytes("{" + t + "}   ", "data")));
    EXPECT_ERROR(open_bytes(dir, file_bytes("{\"t\": 3}")), QN_CODE_INVALID, "tensor \"t\"");
    EXPECT_ERROR(open_bytes(dir, file_bytes("{\"t\": {}}")), QN_CODE_INVALID,
                 "\"dtype\" is missing");
    EXPECT_ERROR(open_bytes(dir, file_bytes("{\"__metadata__\": {\"a\": 1}}")), QN_CODE_INVALID,
                 "__metadata__", "\"a\" is 1");
    EXPECT_ERROR(open_bytes(dir, file_bytes("{\"__metadata__\": 1}")), QN_CODE_INVALID,
                 "__metadata__");
}

TEST_F(Safetensors, ShapesAreChecked) {
    EXPECT_ERROR(open_bytes(dir, one("F32", "[-1]", "[0,4]", 4)), QN_CODE_INVALID, "\"shape\"");
    EXPECT_ERROR(open_bytes(dir, one("F32", "[1.0]", "[0,4]", 4)), QN_CODE_INVALID, "\"shape\"");
    EXPECT_ERROR(open_bytes(dir, one("F32", "4", "[0,4]", 4)), QN_CODE_INVALID, "\"shape\"");
    EXPECT_ERROR(open_bytes(dir, one("F32", "[1,1,1,1,1]", "[0,4]", 4)), QN_CODE_UNSUPPORTED,
                 "\"t\"", "rank 5");
    /* 2^32 · 2^32 is 0 modulo 2^64. */
    for (const char *shape :
         {"[4294967296,4294967296]", "[9223372036854775807,2]", "[4611686018427387904]",
          "[0,4294967296,4294967296]", "[4294967296,0,4294967296]"}) {
        EXPECT_ERROR(open_bytes(dir, one("F32", shape, "[0,0]", 0)), QN_CODE_INVALID, "2^60");
    }
    EXPECT_ERROR(open_bytes(dir, one("F32", "[2]", "[0,4]", 4)), QN_CODE_INVALID, "span 4 bytes",
                 "need 8");
    EXPECT_OK(open_bytes(dir, one("F32", "[]", "[0,4]", 4)));
}

TEST_F(Safetensors, OffsetsAreChecked) {
    for (const char *offsets : {"[0,8]", "[4,0]", "[-4,0]", "[0]", "[0,4,8]", "[0,\"4\"]", "4",
                                "[9223372036854775807,9223372036854775807]", "[0.0,4.0]"}) {
        EXPECT_ERROR(open_bytes(dir, one("F32", "[1]", offsets, 4)), QN_CODE_INVALID,
                     "tensor \"t\": \"data_offsets\" is", "the file's 4 bytes of data")
            << offsets;
    }
    auto two = [](const char *a, const char *b) {
        return "{" + tensor("a", "F32", "[1]", a) + "," + tensor("b", "F32", "[1]", b) + "}";
    };
    EXPECT_OK(open_bytes(dir, file_bytes(two("[0,4]", "[4,8]"), "datadata")));
    EXPECT_OK(open_bytes(dir, file_bytes(two("[4,8]", "[0,4]"), "datadata")));
    EXPECT_ERROR(open_bytes(dir, file_bytes(two("[0,4]", "[0,4]"), "data")), QN_CODE_INVALID,
                 "begins at byte 0", "ends at 4");
    EXPECT_ERROR(open_bytes(dir, file_bytes(two("[0,4]", "[2,6]"), "datada")), QN_CODE_INVALID,
                 "begins at byte 2");
    EXPECT_ERROR(open_bytes(dir, file_bytes(two("[0,4]", "[5,9]"), "datadatad")), QN_CODE_INVALID,
                 "\"b\" begins at byte 5");
    EXPECT_ERROR(open_bytes(dir, one("F32", "[1]", "[1,5]", 5)), QN_CODE_INVALID,
                 "begins at byte 1");
    EXPECT_ERROR(open_bytes(dir, one("F32", "[1]", "[0,4]", 5)), QN_CODE_INVALID,
                 "5 bytes of data");
}

TEST_F(Safetensors, OtherDtypesAreListedOnly) {
    EXPECT_ERROR(open_bytes(dir, one("F7", "[1]", "[0,4]", 4)), QN_CODE_UNSUPPORTED, "\"F7\"");
    EXPECT_ERROR(open_bytes(dir, one("BOOL", "[3]", "[0,4]", 4)), QN_CODE_INVALID, "need 3");
    open(dir.write("b", file_bytes("{" + tensor("mask", "BOOL", "[3]", "[0,3]") + "," +
                                       tensor("t", "F32", "[1]", "[3,7]") + "}",
                                   std::string("\1\1\1\0\0\200\77", 7))));
    EXPECT_EQ(qn_safetensors_count(file), 2);
    EXPECT_STREQ(qn_safetensors_dtype(file, 0), "BOOL");
    qn_tensor t;
    EXPECT_FALSE(qn_safetensors_find(file, "mask", &t));
    ASSERT_TRUE(qn_safetensors_find(file, "t", &t)) << "unaligned data still has a view";
    float value;
    memcpy(&value, t.data, sizeof value);
    EXPECT_EQ(value, 1.0f);
}

TEST_F(Safetensors, AnIndexOpensItsShardsAsOne) {
    write_simple("model-1.safetensors", "b");
    write_simple("model-2.safetensors", "a");
    open(dir.write("model.safetensors.index.json",
                   "{\"metadata\": {\"total_size\": 16}, \"weight_map\": {\"a\": "
                   "\"model-2.safetensors\", \"b\": \"model-1.safetensors\"}}"));
    ASSERT_EQ(qn_safetensors_count(file), 2);
    qn_tensor a, b;
    ASSERT_TRUE(qn_safetensors_find(file, "a", &a));
    ASSERT_TRUE(qn_safetensors_find(file, "b", &b));
    EXPECT_EQ(((float *)a.data)[1], 2.0f);
    EXPECT_EQ(((float *)b.data)[1], 2.0f);
}

TEST_F(Safetensors, IndexErrors) {
    write_simple("1.safetensors", "a");
    write_simple("2.safetensors", "a");
    auto index = [&](const std::string &map) {
        std::string path = dir.write("i.json", "{\"weight_map\": " + map + "}");
        qn_status status = qn_safetensors_open(path.c_str(), &file);
        EXPECT_EQ(file, nullptr);
        return status;
    };
    EXPECT_ERROR(index("[]"), QN_CODE_INVALID, "\"weight_map\" is []");
    EXPECT_ERROR(index("{\"a\": 3}"), QN_CODE_INVALID, "\"a\" is 3");
    EXPECT_ERROR(index("{\"a\": \"gone.safetensors\"}"), QN_CODE_IO, dir / "gone.safetensors");
    EXPECT_ERROR(index("{\"b\": \"1.safetensors\"}"), QN_CODE_INVALID,
                 "puts \"b\" into 1.safetensors, which lacks it");
    EXPECT_ERROR(index("{\"a\": \"1.safetensors\", \"b\": \"2.safetensors\"}"), QN_CODE_INVALID,
                 "two of its files hold a tensor \"a\"");
    for (const char *path : {"../1.safetensors", "/etc/passwd", "", "..", "."}) {
        EXPECT_ERROR(index("{\"a\": \"" + std::string(path) + "\"}"), QN_CODE_INVALID,
                     "same folder");
    }
}

/* Opens a file that may be broken and, when it opens, reads every byte of its tensors. */
static void open_and_read(const std::string &path) {
    qn_safetensors *file;
    qn_status status = qn_safetensors_open(path.c_str(), &file);
    EXPECT_TRUE(!status || strlen(qn_message(status)) > 0);
    qn_status_free(status);
    uint8_t sum = 0;
    for (int i = 0; file && i < qn_safetensors_count(file); i++) {
        qn_tensor t;
        if (!qn_safetensors_find(file, qn_safetensors_name(file, i), &t)) continue;
        const size_t n = (size_t)qn_tensor_numel(&t) * qn_dtype_size(t.dtype);
        for (size_t j = 0; j < n; j++) sum ^= ((uint8_t *)t.data)[j];
    }
    volatile uint8_t sink = sum;
    (void)sink;
    qn_safetensors_close(file);
}

class HostileSafetensors : public Safetensors {
  protected:
    std::string sample() {
        float data[12] = {0};
        const char *pairs[] = {"format", "pt", NULL};
        EXPECT_OK(write("good",
                        {{"w", qn_tensor_2d(data, QN_F32, 3, 4)},
                         {"h", qn_tensor_1d(data, QN_BF16, 5)},
                         {"s", qn_tensor_1d(data, QN_I64, 1)}},
                        pairs));
        return TempDir::read(dir / "good");
    }
};

TEST_F(HostileSafetensors, EveryTruncationIsAnError) {
    const std::string good = sample();
    for (size_t n = 0; n < good.size(); n++) {
        qn_status status = open_bytes(dir, good.substr(0, n));
        EXPECT_NE(status, QN_OK) << n;
        qn_status_free(status);
    }
    EXPECT_ERROR(open_bytes(dir, good + "x"), QN_CODE_INVALID, "bytes of data");
}

TEST_F(HostileSafetensors, FlippedBytesNeverCrash) {
    const std::string good = sample();
    uint64_t length;
    memcpy(&length, good.data(), sizeof length);
    std::mt19937 random(1);
    for (int round = 0; round < 1500; round++) {
        std::string bad = good;
        for (unsigned flips = 1 + random() % 3; flips; flips--) {
            bad[random() % (8 + length)] ^= (char)(1 << random() % 8);
        }
        open_and_read(dir.write("bad", bad));
    }
}

TEST_F(HostileSafetensors, ReplacedNumbersNeverCrash) {
    const std::string good = sample();
    const char *numbers[] = {
        "0",     "-1", "1",    "4294967296", "9223372036854775807", "-9223372036854775808",
        "1e300", "[]", "null", "3"};
    std::mt19937 random(2);
    std::string header = good.substr(8, good.find_last_of('}') - 7);
    const std::string data = good.substr(good.size() - 66);
    for (int round = 0; round < 1000; round++) {
        std::string bad = header;
        for (int i = 0; i < 2; i++) {
            size_t at = bad.find_first_of("0123456789", random() % bad.size());
            if (at == std::string::npos) continue;
            size_t end = bad.find_first_not_of("0123456789", at);
            bad.replace(at, end - at, numbers[random() % 10]);
        }
        open_and_read(dir.write("bad", file_bytes(bad, data)));
    }
}
