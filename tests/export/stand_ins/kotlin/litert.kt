// Of LiteRT: notes the input in image.txt, and answers what answer.txt has.
package com.google.ai.edge.litert

import android.content.res.AssetManager
import java.io.File

enum class Accelerator { CPU, GPU, NPU }

class TensorBuffer : AutoCloseable {
    internal var values = FloatArray(0)

    fun writeFloat(data: FloatArray) {
        values = data.copyOf()
    }

    fun readFloat(): FloatArray = values

    override fun close() {}
}

class CompiledModel private constructor(private val folder: File) : AutoCloseable {
    class Options(vararg val accelerators: Accelerator)

    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = listOf(TensorBuffer())

    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = listOf(TensorBuffer())

    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0) {
        File(folder, "image.txt").writeText(inputs.single().values.joinToString("\n"))
        outputs.single().values = File(folder, "answer.txt").readLines().map { it.toFloat() }.toFloatArray()
    }

    override fun close() {}

    companion object {
        @JvmStatic
        fun create(assetManager: AssetManager, assetName: String, options: Options): CompiledModel {
            check(File(assetManager.folder, assetName).isFile)
            return CompiledModel(assetManager.folder)
        }
    }
}
