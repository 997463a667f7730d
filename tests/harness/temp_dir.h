/* temp_dir.h: a folder that lives as long as a test. */
#ifndef QUERN_HARNESS_TEMP_DIR_H
#define QUERN_HARNESS_TEMP_DIR_H

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

class TempDir {
  public:
    TempDir() {
        std::string name = (std::filesystem::temp_directory_path() / "quern-XXXXXX").string();
        if (!mkdtemp(name.data())) ADD_FAILURE() << "cannot create " << name;
        path_ = name;
    }
    ~TempDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TempDir(const TempDir &) = delete;
    TempDir &operator=(const TempDir &) = delete;

    const std::string &path() const { return path_; }
    /* Path of a thing in the folder. */
    std::string operator/(const std::string &name) const { return path_ + "/" + name; }

    /* Writes a file in the folder; its path. */
    std::string write(const std::string &name, const std::string &bytes) const {
        std::filesystem::remove(*this / name); /* truncating makes ext4 flush */
        std::ofstream(*this / name, std::ios::binary) << bytes;
        return *this / name;
    }
    static std::string read(const std::string &path) {
        std::ifstream in(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }

  private:
    std::string path_;
};

#endif
